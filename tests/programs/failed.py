"""Finished tasks: only those whose exception was never retrieved matter."""

import asyncio

import oracle


async def fails():
    raise ValueError("nobody looks")


async def fails_late():
    await asyncio.sleep(0)
    raise RuntimeError("deep")


async def returns():
    return 1


async def fails_in_a_cycle():
    # A reference cycle: the traceback refers to this frame, the frame to the task, the task to the exception.
    task = asyncio.current_task()
    await asyncio.sleep(0)
    raise KeyError(task.get_name())


async def main():
    asyncio.get_event_loop().set_exception_handler(lambda loop, context: None)
    oracle.task(fails(), "held")
    oracle.task(fails_late(), "held, failed late")
    oracle.task(fails(), "held by nobody", keep=False)
    oracle.task(fails_in_a_cycle(), "garbage", keep=False, optional=True)
    retrieved = oracle.task(fails(), "retrieved")
    oracle.task(returns(), "fine")
    cancelled = oracle.task(returns(), "cancelled")
    cancelled.cancel()
    await asyncio.wait([retrieved])
    retrieved.exception()
    await oracle.park(findings=["exception-never-retrieved"])


oracle.run(main)
