"""asyncio.wait_for around a coroutine, a task, a future, and without a timeout."""

import asyncio

import oracle

# Up to 3.11, wait_for() wraps a coroutine in a task; later versions await it in the calling task.
MAKES_A_TASK = oracle.VERSION <= (3, 11)


async def leaf(name):
    oracle.waits("sleep", label=name)
    await asyncio.sleep(3600)


async def around_a_coroutine():
    if MAKES_A_TASK:
        oracle.waits("task", "inner of a coroutine")
        await asyncio.wait_for(inner_leaf(), 3000)
    else:
        await asyncio.wait_for(inner_leaf(), 3000)


async def inner_leaf():
    oracle.waits("sleep", label="inner of a coroutine")
    await asyncio.sleep(3600)


async def around_a_task(task):
    oracle.waits("task", task)
    await asyncio.wait_for(task, 3000)


async def around_a_future():
    oracle.waits("future")
    await asyncio.wait_for(asyncio.get_event_loop().create_future(), 3000)


async def without_a_timeout(task):
    oracle.waits("task", task)
    await asyncio.wait_for(task, None)


async def main():
    oracle.task(around_a_coroutine(), "around a coroutine")
    oracle.task(around_a_task(oracle.task(leaf("inner"), "inner")), "around a task")
    oracle.task(around_a_future(), "around a future")
    oracle.task(without_a_timeout(oracle.task(leaf("free"), "free")), "without a timeout")
    await oracle.park()


oracle.run(main)
