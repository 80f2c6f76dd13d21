"""heartbeat.py FILE: tasks that run every few milliseconds, and that a list keeps alive the whole time.

Prints `ready`; exits when stdin closes, or after two minutes.
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
