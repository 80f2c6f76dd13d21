"""A program, a pool of threads or an event loop is told to end, and waits for a thread or a task that does not."""
import asyncio
import concurrent.futures
import sys
import threading

mode = sys.argv[2]
begun, never = threading.Event(), threading.Event()


def consume():
    begun.set()
    never.wait()  # the line of the thread


async def stubborn(done):
    try:
        await asyncio.sleep(3600)
    finally:
        await done.wait()  # the line of the task


async def quick():
    await asyncio.sleep(3600)


async def numbers(done):
    try:
        yield 1
    finally:
        await done.wait()  # the line of the generator


async def main():
    loop = asyncio.get_running_loop()
    if mode == "tasks":
        asyncio.create_task(stubborn(asyncio.Event()), name="stubborn")
        for _ in range(3):
            asyncio.create_task(quick())
        await asyncio.sleep(0)
    elif mode == "generator":
        kept.append(numbers(asyncio.Event()))
        await kept[0].__anext__()
    elif mode == "executor":
        loop.run_in_executor(None, consume)
        begun.wait()
    elif mode == "with":
        with concurrent.futures.ThreadPoolExecutor(2, "renderer") as pool:
            pool.submit(consume)
            begun.wait()
            print("ready", flush=True)  # the block that waits
    print("ready", flush=True)


kept = []
threading.Thread(target=never.wait, name="a daemon", daemon=True).start()
if mode == "thread":
    threading.Thread(target=consume, name="consumer").start()
elif mode == "pool":
    concurrent.futures.ThreadPoolExecutor(2, "renderer").submit(consume)
if mode in ("thread", "pool"):
    begun.wait()
if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
