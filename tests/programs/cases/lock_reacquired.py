"""A task takes a lock that it holds already."""
import asyncio
import sys


class Pool:
    def __init__(self):
        self.lock = asyncio.Lock()

    async def get(self):
        async with self.lock:
            await self.release()

    async def release(self):
        async with self.lock:
            pass


async def main():
    pool = Pool()
    tasks = [asyncio.create_task(pool.get(), name=f"worker-{i}") for i in range(3)]
    while len(pool.lock._waiters or ()) < 3:
        await asyncio.sleep(0)
    print("ready", flush=True)
    await asyncio.gather(*tasks)


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
