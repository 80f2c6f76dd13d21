"""Tasks that nothing owns, inside timeouts and task groups, and the tasks of as_completed."""
# needs: 3.11

import asyncio

import oracle


async def sleeps():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def named(name):
    oracle.label(name)
    await sleeps()


async def in_a_timeout(limit):
    async with asyncio.timeout(limit):
        await sleeps()


async def in_two_timeouts():
    async with asyncio.timeout(3000), asyncio.timeout(3001):
        await sleeps()


async def in_a_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(named("member 1"))
        group.create_task(named("member 2"))
        oracle.waits("task_group", "member 1", "member 2")


async def as_completed():
    tasks = [asyncio.ensure_future(named("collected %d" % number)) for number in (1, 2)]
    oracle.waits("wait", *tasks)
    for one in asyncio.as_completed(tasks):
        await one


async def main():
    oracle.orphan(in_a_timeout(3000), "in a timeout")
    oracle.orphan(in_two_timeouts(), "in two timeouts")
    oracle.orphan(in_a_timeout(None), "in a timeout that never comes", may_miss=True)
    oracle.orphan(in_a_group(), "in a group")
    oracle.orphan(as_completed(), "as completed", may_miss=True)
    await oracle.park(findings=["orphaned-task"])


oracle.run(main)
