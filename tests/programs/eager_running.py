"""The snapshot is taken in the first step of an eager task, which runs inside the step of the task that created it."""
# needs: 3.12

import asyncio

import oracle


async def leaf():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def deep():
    asyncio.current_task().set_name("eager")
    oracle.expect(asyncio.current_task(), orphaned=None)
    oracle.park_blocking()


async def eager():
    await deep()


async def main():
    oracle.task(leaf(), "leaf")
    # Its step is on the stack, but it is not the current task, so either state is right.
    oracle.expect(asyncio.current_task(), state="any", stack="any", end="any", orphaned=False, may_miss=True)
    await oracle.settle()
    asyncio.Task(eager(), loop=asyncio.get_running_loop(), eager_start=True)


oracle.run(main)
