"""The thread blocks in a step that has just created tasks: they are ready but have not started."""

import asyncio

import oracle


def decorated(function):
    return function


@decorated
@decorated
async def leaf(
    argument=None,
):
    await asyncio.sleep(3600)


async def other():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def awaits(task):
    await task


async def main():
    oracle.task(other(), "suspended")
    await oracle.settle()
    oracle.task(leaf(), "owned")
    oracle.orphan(leaf(), "owned by nobody")
    oracle.task(awaits(oracle.task(leaf(), "will be awaited")), "will await")
    oracle.task(asyncio.sleep(1), "not a function of ours")
    oracle.park_blocking()


oracle.run(main)
