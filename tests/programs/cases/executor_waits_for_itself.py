"""A pool's only worker waits for a second job of the same pool."""
import asyncio
import concurrent.futures
import sys

pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="dbpool")


def write():
    return 1


async def save():
    job = asyncio.get_running_loop().run_in_executor(pool, write)
    print("ready", flush=True)
    return await job


def view(loop):
    return asyncio.run_coroutine_threadsafe(save(), loop).result()  # the line that waits


async def handler():
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(pool, view, loop)


async def main():
    await asyncio.create_task(handler(), name="handler")


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
