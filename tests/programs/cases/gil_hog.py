"""A thread runs Python at full speed: each step of the loop waits some milliseconds for the GIL. No stall, and everything is slow."""
import asyncio
import sys
import threading


def crunch():
    total = 0
    while True:
        total += 1  # the line that keeps the GIL


async def request():
    while True:
        for _ in range(3):
            await asyncio.sleep(0)
        await asyncio.sleep(0.005)


async def main():
    threading.Thread(target=crunch, daemon=True, name="embedder").start()
    tasks = [asyncio.create_task(request(), name=f"req-{i}") for i in range(4)]
    print("ready", flush=True)
    await asyncio.gather(*tasks)


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
