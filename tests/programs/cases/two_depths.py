"""One loop, run from a shallow stack and from a deeper one in turn. It only ever waits."""
import asyncio
import sys

if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
loop = asyncio.new_event_loop()


async def wait():
    await asyncio.sleep(0.4)


def deeper(levels):
    return deeper(levels - 1) if levels else loop.run_until_complete(wait())


loop.run_until_complete(asyncio.sleep(0))
print("ready", flush=True)
while True:
    loop.run_until_complete(wait())
    deeper(10)
