"""A task and a future, each awaited by several tasks."""

import asyncio

import oracle


async def leaf(future):
    oracle.waits("future")
    await future


async def parent(task):
    oracle.waits("task", task)
    await task


async def bystander(future):
    oracle.waits("future")
    await future


async def main():
    future = asyncio.get_event_loop().create_future()
    shared = oracle.task(leaf(future), "shared")
    for name in ("first", "second", "third"):
        oracle.task(parent(shared), name)
    oracle.task(bystander(future), "waits for the same future")
    await oracle.park()


oracle.run(main)
