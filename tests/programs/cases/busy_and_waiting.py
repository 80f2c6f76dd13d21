"""Computes for 2 ms, sleeps for 2 ms, and so on: it never blocks in a system call."""
import asyncio
import sys
import time


async def busy():
    while True:
        end = time.perf_counter() + 0.002
        while time.perf_counter() < end:
            sum(range(100))
        await asyncio.sleep(0.002)


async def main():
    task = asyncio.create_task(busy(), name="busy")
    print("ready", flush=True)
    await asyncio.gather(task, asyncio.sleep(3600))


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
