"""A task that is started eagerly, as a server does for each request, blocks for 0.2 s."""
# needs: 3.12
import asyncio
import sys
import time


async def handler():
    time.sleep(0.2)  # the line that blocks
    await asyncio.sleep(0)


async def main():
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    while True:
        task = asyncio.Task(handler(), loop=loop, eager_start=True, name="req")
        await asyncio.sleep(0.3)
        await task


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
