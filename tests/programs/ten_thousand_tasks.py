"""10,000 tasks, each 8 coroutines deep."""

import asyncio

import oracle


async def level(depth, future):
    if depth > 1:
        await level(depth - 1, future)
    else:
        oracle.waits("future")
        await future


async def main():
    loop = asyncio.get_event_loop()
    for number in range(10000):
        oracle.task(level(8, loop.create_future()), "worker %d" % number)
    await oracle.park()


oracle.run(main)
