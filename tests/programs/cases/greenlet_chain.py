"""A bridge from coroutines to synchronous code and back, as in SQLAlchemy: one task blocks the loop in its greenlet, another waits below
two synchronous functions."""
# packages: greenlet
import asyncio
import sys
import time

import greenlet


class Bridge(greenlet.greenlet):
    def __init__(self, function):
        super().__init__(function, greenlet.getcurrent())
        self.driver = greenlet.getcurrent()


def await_from_below(awaitable):
    return greenlet.getcurrent().driver.switch(awaitable)


async def spawn(function):
    bridge = Bridge(function)
    result = bridge.switch()
    while not bridge.dead:
        result = bridge.switch(await result)
    return result


def blocks_below():
    time.sleep(0.3)  # the line that blocks
    await_from_below(asyncio.sleep(0.5))


def waits_outer():
    waits_inner()


def waits_inner():
    await_from_below(asyncio.sleep(300))  # the line that waits


async def stall():
    while True:
        await spawn(blocks_below)


async def wait():
    await spawn(waits_outer)


async def main():
    tasks = [asyncio.create_task(stall(), name="stall"), asyncio.create_task(wait(), name="wait")]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    print("ready", flush=True)
    await asyncio.gather(*tasks)


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
