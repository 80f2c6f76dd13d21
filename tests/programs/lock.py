"""A lock with its holder and three waiting tasks."""

import asyncio

import oracle


async def holds(lock):
    async with lock:
        oracle.waits("sleep")
        await asyncio.sleep(3600)


async def wants(lock):
    oracle.waits("lock")
    async with lock:
        pass


async def acquires(lock):
    oracle.waits("lock")
    await lock.acquire()


async def main():
    lock = asyncio.Lock()
    oracle.task(holds(lock), "holder")
    oracle.task(wants(lock), "first")
    oracle.task(acquires(lock), "second")
    oracle.task(asyncio.wait_for(acquires(lock), None), "third")
    await oracle.park()


oracle.run(main)
