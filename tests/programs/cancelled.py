"""Cancelled tasks: some are gone, some are cleaning up, one refuses."""

import asyncio

import oracle


async def sleeps():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def cleans_up():
    try:
        await asyncio.sleep(3600)
    finally:
        oracle.waits("future")
        await asyncio.get_event_loop().create_future()


async def refuses():
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        pass
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def takes_it_back():
    try:
        await asyncio.sleep(3600)
    except asyncio.CancelledError:
        if oracle.VERSION >= (3, 11):
            asyncio.current_task().uncancel()
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def main():
    tasks = [
        oracle.task(coroutine(), coroutine.__name__, kind="sleep")
        for coroutine in (sleeps, cleans_up, refuses, takes_it_back)
    ]
    await oracle.settle()
    for task in tasks:
        task.cancel()
    del task
    await oracle.park()


oracle.run(main)
