"""Task groups: flat, nested, with a finished member, and with a body that is still running."""
# needs: 3.11

import asyncio

import oracle


async def leaf(name):
    oracle.waits("sleep", label=name)
    await asyncio.sleep(3600)


async def finished():
    return 1


async def outer():
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf("a"), name="a")
        group.create_task(inner(), name="inner")
        group.create_task(finished(), name="finished")
        oracle.waits("task_group", "a", "inner")


async def inner():
    oracle.label("inner")
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf("b"), name="b")
        group.create_task(leaf("c"), name="c")
        oracle.waits("task_group", "b", "c")


async def body_works():
    async with asyncio.TaskGroup() as group:
        group.create_task(leaf("d"), name="d")
        oracle.waits("sleep", owns=["d"])
        await asyncio.sleep(3600)


async def main():
    oracle.task(outer(), "outer")
    oracle.task(body_works(), "body works")
    await oracle.park()


oracle.run(main)
