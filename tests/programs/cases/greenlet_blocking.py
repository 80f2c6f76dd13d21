"""Synchronous code blocks the loop from inside a greenlet below a coroutine, as an ORM does: 0.6 s, again and again."""
# packages: greenlet
import asyncio
import sys
import time

import greenlet


def query():
    if "cpu" in sys.argv:
        end = time.thread_time() + 0.6
        while time.thread_time() < end:
            for number in range(10_000): total = number * number % 7  # the line that computes
    else:
        time.sleep(0.6)  # the line that sleeps


def listener():
    query()


async def request():
    while True:
        greenlet.greenlet(listener).switch()
        await asyncio.sleep(0.2)


async def main():
    print("ready", flush=True)
    await asyncio.create_task(request(), name="req")


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
