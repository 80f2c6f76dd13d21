"""blocks.py FILE: blocks its event loop in `time.sleep` for 0.2 s, again and again. FILE is not written."""

import asyncio
import time


async def handler():
    time.sleep(0.2)


async def main():
    print("ready", flush=True)
    while True:
        await asyncio.create_task(handler(), name="blocks")
        await asyncio.sleep(0.05)


asyncio.run(main())
