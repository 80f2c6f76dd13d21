"""The thread blocks right after cancel(): waiting tasks have not been woken yet, and a new task has not started."""

import asyncio

import oracle


async def sleeps():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def awaits(task):
    oracle.waits("task", task)
    await task


async def swallows():
    while True:
        try:
            oracle.waits("sleep")
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass


async def main():
    sleeping = oracle.task(sleeps(), "sleeps")
    parent = oracle.task(awaits(oracle.task(sleeps(), "child")), "parent")
    swallowing = oracle.task(swallows(), "swallows")
    oracle.task(sleeps(), "left alone")
    await oracle.settle()
    swallowing.cancel()
    await oracle.settle()
    new = oracle.task(sleeps(), "not begun")
    for task in (sleeping, parent, new):
        task.cancel()
    oracle.park_blocking()


oracle.run(main)
