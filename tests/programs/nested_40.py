"""A task 40 coroutines deep."""

import oracle


async def level(depth):
    if depth == 0:
        oracle.waits("sleep")
        return await oracle.asyncio.sleep(3600)
    return await level(depth - 1)


async def main():
    oracle.task(level(38), "deep")
    await oracle.park()


oracle.run(main)
