"""A loop's own thread waits for the result of a coroutine that only this loop can run."""
import asyncio
import sys


async def send_file():
    await asyncio.sleep(0.1)


def upload_and_wait():
    loop = asyncio.get_running_loop()
    print("ready", flush=True)
    return asyncio.run_coroutine_threadsafe(send_file(), loop).result(timeout=600)  # the line that waits


async def handler():
    await asyncio.sleep(0.1)
    upload_and_wait()


async def heartbeat():
    while True:
        await asyncio.sleep(0.1)


async def main():
    beating = asyncio.create_task(heartbeat(), name="heartbeat")
    await asyncio.create_task(handler(), name="handler")
    await beating


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
