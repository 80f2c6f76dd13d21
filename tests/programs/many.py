"""many.py N DEPTH: N suspended tasks, each DEPTH coroutines deep, for measurements. Prints `ready` and stays idle."""

import asyncio
import os
import sys

COUNT, DEPTH = int(sys.argv[1]), int(sys.argv[2])


async def level(depth):
    if depth > 1:
        await level(depth - 1)
    else:
        await asyncio.get_event_loop().create_future()


async def main():
    loop = asyncio.get_event_loop()
    tasks = [loop.create_task(level(DEPTH)) for _ in range(COUNT)]
    # The new tasks are in the ready queue ahead of this one, so all have run when sleep(0) returns.
    await asyncio.sleep(0)
    loop.add_reader(0, lambda: os._exit(0))
    print("ready", flush=True)
    await loop.create_future()
    del tasks


asyncio.run(main())
