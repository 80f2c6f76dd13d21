"""A loop is parked in a greenlet while the program's own code runs outside of it, as synchronous browser drivers do it."""
# packages: greenlet
import asyncio
import sys
import time

import greenlet

if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
loop = asyncio.new_event_loop()
dispatcher = greenlet.greenlet(loop.run_forever)


async def operation():
    await asyncio.sleep(0.05)


def call(coroutine):
    caller = greenlet.getcurrent()
    task = loop.create_task(coroutine)
    task.add_done_callback(lambda _: caller.switch())
    while not task.done():
        dispatcher.switch()
    return task.result()


call(operation())
print("ready", flush=True)
while True:
    time.sleep(0.5)  # the loop does not run here, and nothing waits for it
    call(operation())
