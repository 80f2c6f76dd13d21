"""Tasks that await each other: a cycle of two, a cycle of three, and a task outside that awaits a member."""

import asyncio

import oracle


async def awaits(tasks, name):
    await asyncio.sleep(0)
    oracle.waits("task", tasks[name])
    await tasks[name]


async def gathers(tasks, name, other):
    await asyncio.sleep(0)
    oracle.waits("gather", tasks[name], tasks[other])
    await asyncio.gather(tasks[name], tasks[other])


async def sleeps():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def main():
    tasks = {}
    for name, other in (("a", "b"), ("b", "a"), ("x", "y"), ("y", "z"), ("outside", "x")):
        tasks[name] = oracle.task(awaits(tasks, other), name)
    tasks["leaf"] = oracle.task(sleeps(), "leaf")
    tasks["z"] = oracle.task(gathers(tasks, "x", "leaf"), "z")
    await oracle.park(findings=["await-cycle"])


oracle.run(main)
