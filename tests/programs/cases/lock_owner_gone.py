"""A task took a lock and ended without giving it back; five others wait for it."""
import asyncio
import sys


async def taker(lock):
    await lock.acquire()
    await asyncio.sleep(0.01)
    raise RuntimeError("no `finally`")


async def user(lock):
    async with lock:
        pass


async def main():
    lock = asyncio.Lock()
    taking = asyncio.create_task(taker(lock), name="taker")
    users = [asyncio.create_task(user(lock), name=f"user-{i}") for i in range(5)]
    try:
        await taking
    except RuntimeError:
        pass
    del taking
    print("ready", flush=True)
    await asyncio.gather(*users)


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
