"""The thread blocks in a callback that has just completed futures: their waiters are ready, but none is running."""

import asyncio

import oracle


async def awaits_future(future):
    oracle.waits("future")
    await future


async def awaits_task(task):
    oracle.waits("task", task)
    await task


async def waits_for_event(event):
    oracle.waits("event")
    await event.wait()


async def main():
    loop = asyncio.get_event_loop()
    future, other, event = loop.create_future(), loop.create_future(), asyncio.Event()
    woken = oracle.task(awaits_future(future), "woken")
    oracle.task(awaits_task(woken), "waits for the woken")
    oracle.task(awaits_future(future), "also woken")
    oracle.task(waits_for_event(event), "woken by an event")
    oracle.task(awaits_future(other), "still waits")

    def wake():
        future.set_result(1)
        event.set()
        oracle.park_blocking()

    oracle.settle_then(wake)
    oracle.waits("future")
    await loop.create_future()


oracle.run(main)
