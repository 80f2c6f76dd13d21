"""A semaphore with both of its two permits taken, and a bounded semaphore."""

import asyncio

import oracle


async def holds(semaphore):
    async with semaphore:
        oracle.waits("sleep")
        await asyncio.sleep(3600)


async def wants(semaphore):
    oracle.waits("semaphore")
    async with semaphore:
        pass


async def main():
    semaphore, bounded = asyncio.Semaphore(2), asyncio.BoundedSemaphore(1)
    oracle.task(holds(semaphore), "first holder")
    oracle.task(holds(semaphore), "second holder")
    oracle.task(wants(semaphore), "first waiter")
    oracle.task(wants(semaphore), "second waiter")
    oracle.task(holds(bounded), "bounded holder")
    oracle.task(wants(bounded), "bounded waiter")
    await oracle.park()


oracle.run(main)
