"""A task holds a lock of `threading` while it is suspended; another task of the same loop wants it, and blocks the loop for ever. With
`threads`, other threads wait for locks of their own."""
import asyncio
import sys
import threading

lock = threading.Lock()


async def save():
    with lock:
        await asyncio.sleep(600)  # the line that holds the lock


async def load():
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    with lock:  # the line that blocks
        pass


async def main():
    if "threads" in sys.argv:
        for _ in range(2):
            threading.Thread(target=threading.Event().wait, daemon=True).start()
    tasks = [asyncio.create_task(save(), name="save"), asyncio.create_task(load(), name="load")]
    await asyncio.gather(*tasks)


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
