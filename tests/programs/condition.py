"""A condition: two tasks wait to be notified, one holds its lock, one waits for the lock."""

import asyncio

import oracle


async def waits(condition):
    async with condition:
        oracle.waits("condition")
        await condition.wait()


async def waits_for(condition):
    async with condition:
        oracle.waits("condition")
        await condition.wait_for(lambda: False)


async def holds(condition):
    async with condition:
        oracle.waits("sleep")
        await asyncio.sleep(3600)


async def wants(condition):
    oracle.waits("lock")
    async with condition:
        pass


async def main():
    condition = asyncio.Condition()
    oracle.task(waits(condition), "waits")
    oracle.task(waits_for(condition), "waits for a predicate")
    oracle.task(holds(condition), "holds the lock")
    oracle.task(wants(condition), "wants the lock")
    await oracle.park()


oracle.run(main)
