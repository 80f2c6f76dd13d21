"""Two loops in two threads wait for each other: one blocks in `result()`, the coroutine it waits for awaits the first."""
import asyncio
import sys
import threading

if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
side = asyncio.new_event_loop()
threading.Thread(target=side.run_forever, name="side-loop", daemon=True).start()


async def answer():
    return 42


async def needs_main(loop):
    asked = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answer(), loop))
    print("ready", flush=True)
    return await asked  # the line that awaits


async def handler():
    loop = asyncio.get_running_loop()
    return asyncio.run_coroutine_threadsafe(needs_main(loop), side).result()  # the line that blocks


async def main():
    await asyncio.create_task(handler(), name="handler")


asyncio.run(main())
