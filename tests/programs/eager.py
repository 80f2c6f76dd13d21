"""Eager tasks that do not finish in their first step, and one that does."""
# needs: 3.12

import asyncio

import oracle


async def leaf(name):
    oracle.waits("sleep", label=name)
    await asyncio.sleep(3600)


async def parent():
    task = asyncio.create_task(leaf("child"), name="child")
    oracle.waits("task", "child")
    await task


async def gathers():
    oracle.waits("gather", "a", "b")
    await asyncio.gather(named("a"), named("b"))


async def named(name):
    asyncio.current_task().set_name(name)
    await leaf(name)


async def finished():
    return 1


async def main():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    oracle.task(leaf("leaf"), "leaf")
    oracle.task(parent(), "parent")
    oracle.task(gathers(), "gathers")
    oracle.task(finished(), "finished")
    await oracle.park()


oracle.run(main)
