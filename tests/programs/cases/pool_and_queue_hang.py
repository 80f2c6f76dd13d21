"""A service that hangs: a pool of 3 is used up by tasks that wait for a reply that never comes, the holder of a lock waits for an event that
nobody sets, and a bounded queue is full."""
import asyncio
import sys


async def query(pool):
    async with pool:
        await asyncio.get_running_loop().create_future()  # a reply that never comes


async def refresh(lock, loaded):
    async with lock:
        await loaded.wait()


async def handler(lock):
    async with lock:
        pass


async def consumer(jobs):
    await jobs.get()
    await asyncio.sleep(3600)


async def producer(jobs):
    while True:
        await jobs.put(1)


async def main():
    # Made here: before 3.10 they belong to the loop of their making.
    pool, lock, jobs, loaded = asyncio.Semaphore(3), asyncio.Lock(), asyncio.Queue(50), asyncio.Event()
    tasks = [asyncio.create_task(query(pool), name=f"query-{i}") for i in range(40)]
    tasks += [asyncio.create_task(refresh(lock, loaded), name="refresh")]
    tasks += [asyncio.create_task(handler(lock), name=f"handler-{i}") for i in range(25)]
    tasks += [asyncio.create_task(consumer(jobs), name="consumer")]
    tasks += [asyncio.create_task(producer(jobs), name=f"producer-{i}") for i in range(5)]
    while len(jobs._putters) < 5:
        await asyncio.sleep(0)
    print("ready", flush=True)
    await asyncio.gather(*tasks)


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
