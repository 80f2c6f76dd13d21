"""One short task after the other, with the same name and the same coroutine, at the same address: no job is older than 0.03 s."""
import asyncio
import sys


async def job():
    await asyncio.sleep(0.03)


async def main():
    print("ready", flush=True)
    while True:
        await asyncio.create_task(job(), name="GET /health")


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
