"""asyncio.shield of a task and of a coroutine, and a task shielded by two others."""

import asyncio

import oracle


async def leaf(name):
    oracle.waits("sleep", label=name)
    await asyncio.sleep(3600)


async def shields(task):
    oracle.waits("shield", task)
    await asyncio.shield(task)


async def shields_a_coroutine():
    oracle.waits("shield", "made by shield")
    await asyncio.shield(leaf("made by shield"))


async def main():
    shared = oracle.task(leaf("shared"), "shared")
    oracle.task(shields(shared), "first")
    oracle.task(shields(shared), "second")
    oracle.task(shields_a_coroutine(), "of a coroutine")
    await oracle.park()


oracle.run(main)
