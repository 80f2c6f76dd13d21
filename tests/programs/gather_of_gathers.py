"""A gather of gathers, some of tasks and some of coroutines."""

import asyncio

import oracle


async def leaf(name):
    oracle.waits("sleep", label=name)
    await asyncio.sleep(3600)


async def inner(name):
    oracle.waits("gather", name + ".0", name + ".1", name + ".2", label=name)
    await asyncio.gather(leaf(name + ".0"), leaf(name + ".1"), oracle.task(leaf(name + ".2"), name + ".2"))


async def finished():
    return 1


async def outer():
    oracle.waits("gather", "a", "b", "c", label="outer")
    await asyncio.gather(inner("a"), inner("b"), leaf("c"), finished())


async def gather_in_gather():
    first = asyncio.gather(oracle.task(leaf("x"), "x"), oracle.task(leaf("y"), "y"))
    second = asyncio.gather(oracle.task(leaf("z"), "z"))
    oracle.waits("gather", "x", "y", "z", label="gather in gather")
    await asyncio.gather(first, second)


async def main():
    oracle.task(outer(), "outer")
    oracle.task(gather_in_gather(), "gather in gather")
    await oracle.park()


oracle.run(main)
