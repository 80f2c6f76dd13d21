"""Names that nobody asked for: from 3.12 on the interpreter stores only a number until somebody does."""

import asyncio

import oracle


async def sleeps():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def main():
    for _ in range(5):
        oracle.lazy_task(sleeps())
    for _ in range(2000):
        asyncio.get_event_loop().create_task(nothing())
    oracle.lazy_task(sleeps())
    await oracle.park()


async def nothing():
    pass


oracle.run(main)
