"""The builtin anext(), with and without a default."""
# needs: 3.10

import asyncio

import oracle


async def pause():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def numbers():
    await pause()
    yield 1


class Countdown:
    def __aiter__(self):
        return self

    async def __anext__(self):
        await pause()


async def plain(source):
    await anext(source)


async def with_a_default(source):
    await anext(source, None)


async def main():
    oracle.task(plain(numbers()), "plain")
    oracle.task(with_a_default(numbers()), "default")
    oracle.task(plain(Countdown()), "plain, class")
    oracle.task(with_a_default(Countdown()), "default, class")
    await oracle.park()


oracle.run(main)
