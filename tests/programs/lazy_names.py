"""Names that were never requested: since 3.12, a task stores only a number until its name is first read."""

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
