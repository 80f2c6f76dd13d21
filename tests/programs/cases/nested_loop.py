"""A synchronous facade runs the running loop again (nest_asyncio): the outer task runs for long, but the loop turns. With `block`, it
blocks for 0.4 s now and then."""
# packages: nest_asyncio
import asyncio
import sys
import time

import nest_asyncio

nest_asyncio.apply()


async def fetch():
    await asyncio.sleep(0.8)


def facade():
    asyncio.get_event_loop().run_until_complete(fetch())


async def handler():
    while True:
        facade()
        if "block" in sys.argv:
            time.sleep(0.4)  # the line that blocks
        await asyncio.sleep(0.1)


async def heartbeat():
    while True:
        await asyncio.sleep(0.05)


async def main():
    print("ready", flush=True)
    tasks = [asyncio.create_task(handler(), name=f"handler-{i}") for i in range(2)]
    await asyncio.gather(*tasks, asyncio.create_task(heartbeat(), name="heartbeat"))


asyncio.run(main())
