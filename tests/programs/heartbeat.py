"""heartbeat.py FILE: tasks that make a step every few milliseconds and that a list holds, all the time that they are read.

Prints `ready`; ends when stdin closes, or by itself after two minutes.
"""

import asyncio
import os
import sys
import time

DEADLINE = time.monotonic() + 120
COUNT = 20


async def heartbeat():
    while time.monotonic() < DEADLINE:
        await asyncio.sleep(0.005)


async def main():
    loop = asyncio.get_event_loop()
    kept = [loop.create_task(heartbeat(), name=f"beat-{number}") for number in range(COUNT)]
    loop.add_reader(0, os._exit, 0)
    with open(sys.argv[1], "w") as truth:
        truth.write('{"count": %d}' % COUNT)
    print("ready", flush=True)
    await asyncio.Event().wait()
    print(kept)


asyncio.run(main())
