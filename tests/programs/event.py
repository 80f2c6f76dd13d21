"""An event with three waiting tasks."""

import asyncio

import oracle


async def waiter(event):
    oracle.waits("event")
    await event.wait()


async def main():
    event = asyncio.Event()
    for name in ("a", "b", "c"):
        oracle.task(waiter(event), name)
    await oracle.park()


oracle.run(main)
