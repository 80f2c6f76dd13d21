"""asyncio.timeout does not change what its body awaits."""
# needs: 3.11

import asyncio

import oracle


async def leaf(name):
    oracle.waits("sleep", label=name)
    await asyncio.sleep(3600)


async def sleeps():
    async with asyncio.timeout(3000):
        async with asyncio.timeout_at(asyncio.get_event_loop().time() + 2000):
            oracle.waits("sleep")
            await asyncio.sleep(3600)


async def awaits_a_task(task):
    async with asyncio.timeout(3000):
        oracle.waits("task", task)
        await task


async def without_a_limit():
    async with asyncio.timeout(None):
        oracle.waits("future")
        await asyncio.get_event_loop().create_future()


async def main():
    oracle.task(sleeps(), "sleeps")
    oracle.task(awaits_a_task(oracle.task(leaf("inner"), "inner")), "awaits a task")
    oracle.task(without_a_limit(), "without a limit")
    await oracle.park()


oracle.run(main)
