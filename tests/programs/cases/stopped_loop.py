"""A coroutine is given to a loop that has stopped; the caller waits for its result for ever."""
import asyncio
import sys
import threading

if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
loop = asyncio.new_event_loop()
thread = threading.Thread(target=loop.run_forever, name="side-loop", daemon=True)
thread.start()


async def look_up():
    return 1


asyncio.run_coroutine_threadsafe(look_up(), loop).result()
loop.call_soon_threadsafe(loop.stop)
thread.join()
future = asyncio.run_coroutine_threadsafe(look_up(), loop)
print("ready", flush=True)
future.result()  # the line that waits
