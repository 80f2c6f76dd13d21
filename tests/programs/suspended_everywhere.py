"""Tasks suspended in every kind of frame; other programs run this one under tracing or monitoring."""

import asyncio
import types

import oracle


async def pause():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def values():
    yield 1
    await pause()
    yield 2


@types.coroutine
def generator():
    yield from pause()


class Awaitable:
    def __await__(self):
        return (yield from generator())


class Manager:
    async def __aenter__(self):
        await pause()

    async def __aexit__(self, *error):
        pass


async def in_a_for():
    async for _ in values():
        pass


async def in_a_with():
    async with Manager():
        pass


async def in_a_comprehension():
    return [value async for value in values()]


async def in_a_finally():
    try:
        raise ValueError
    except ValueError:
        for _ in range(3):
            await pause()


async def in_an_awaitable():
    await Awaitable()


async def in_a_send():
    sent = values()
    await sent.asend(None)
    await sent.asend(1)


async def gathers():
    tasks = [oracle.task(pause(), "gathered %d" % number) for number in range(3)]
    oracle.waits("gather", *tasks)
    await asyncio.gather(*tasks)


async def main():
    for shape in (in_a_for, in_a_with, in_a_comprehension, in_a_finally, in_an_awaitable, in_a_send, gathers):
        oracle.task(shape(), shape.__name__)
    oracle.orphan(pause(), "orphan")
    await oracle.park()


if __name__ == "__main__":
    oracle.run(main)
