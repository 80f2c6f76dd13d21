"""A task polls with `sleep(0)`: the loop spins at 100 % and never stalls."""
import asyncio
import collections
import sys

inbox = collections.deque()


async def pump():
    while not inbox:
        await asyncio.sleep(0)  # the line that polls


async def web():
    while True:
        await asyncio.sleep(0.2)


async def main():
    tasks = [asyncio.create_task(web(), name=f"web-{i}") for i in range(20)]
    pumping = asyncio.create_task(pump(), name="pump")
    print("ready", flush=True)
    await asyncio.gather(pumping, *tasks)


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
