"""Suspended in asend, athrow and aclose of an async generator."""

import asyncio

import oracle


async def pause():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def generator():
    try:
        while True:
            if (yield 1) == "pause":
                await pause()
    except ValueError:
        await pause()
    finally:
        await pause()


async def sends():
    values = generator()
    await values.asend(None)
    await values.asend("pause")


async def throws():
    values = generator()
    await values.asend(None)
    await values.athrow(ValueError())


async def closes():
    values = generator()
    await values.asend(None)
    await values.aclose()


async def delegates():
    values = sends_inside()
    await values.asend(None)


async def sends_inside():
    values = generator()
    await values.asend(None)
    yield await values.asend("pause")


async def main():
    oracle.task(sends(), "asend")
    oracle.task(throws(), "athrow")
    oracle.task(closes(), "aclose")
    oracle.task(delegates(), "asend in an async generator")
    await oracle.park()


oracle.run(main)
