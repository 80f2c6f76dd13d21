"""asyncio.wait with and without a timeout, with one task done, and two waits on the same tasks."""

import asyncio

import oracle


async def leaf(name):
    oracle.waits("sleep", label=name)
    await asyncio.sleep(3600)


async def finished():
    return 1


async def waits(tasks, **options):
    oracle.waits("wait", *tasks)
    await asyncio.wait(tasks, **options)


async def main():
    tasks = {oracle.task(leaf(name), name) for name in ("a", "b", "c")}
    oracle.task(waits(tasks), "all")
    oracle.task(waits(set(tasks), timeout=3000, return_when=asyncio.FIRST_COMPLETED), "first")
    some = {oracle.task(leaf("d"), "d"), oracle.task(finished(), "finished")}
    oracle.task(waits(some), "one done")
    await oracle.park()


oracle.run(main)
