# needs: 3.11
"""Tasks that were asked to cancel: some swallow it, some clean up, one is cancelled by its own timeout, one passes it on."""
import asyncio
import sys


async def swallows(queue):
    while True:
        try:
            await queue.get()  # the line that goes on
        except asyncio.CancelledError:
            pass


async def cleans_up(done):
    try:
        await asyncio.sleep(3600)
    finally:
        await done.wait()  # the line that cleans up


async def closes_slowly():
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        await asyncio.sleep(3600)  # the line of the timer
        raise


async def times_out(done, waiting):
    async with asyncio.timeout(0.001):
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            waiting.set()
            await done.wait()
            raise


async def passes_on(queue):
    await asyncio.create_task(swallows(queue), name="inner")


async def takes_back(queue):
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()
    await queue.get()


async def main():
    queue, done, waiting = asyncio.Queue(), asyncio.Event(), asyncio.Event()
    made = {
        "swallows": swallows(queue),
        "cleans up": cleans_up(done),
        "closes slowly": closes_slowly(),
        "times out": times_out(done, waiting),
        "passes on": passes_on(queue),
        "takes back": takes_back(queue),
        "left alone": queue.get(),
    }
    tasks = {name: asyncio.create_task(coroutine, name=name) for name, coroutine in made.items()}
    await waiting.wait()
    for name in ["swallows", "cleans up", "closes slowly", "passes on", "takes back"]:
        tasks[name].cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    tasks["swallows"].cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    print("ready", flush=True)
    await asyncio.gather(*tasks.values())


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
