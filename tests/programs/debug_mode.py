"""An event loop in debug mode: every handle and future carries the stack that created it."""
# env: PYTHONASYNCIODEBUG=1

import asyncio

import oracle


async def sleeps():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def gathers(*tasks):
    oracle.waits("gather", *tasks)
    await asyncio.gather(*tasks)


async def parent(task):
    oracle.waits("task", task)
    await asyncio.wait_for(task, 3000)


async def values():
    await sleeps()
    yield 1


async def consumes():
    async for _ in values():
        pass


async def main():
    assert asyncio.get_event_loop().get_debug()
    oracle.task(gathers(oracle.task(sleeps(), "a"), oracle.task(sleeps(), "b")), "gathers")
    oracle.task(parent(oracle.task(sleeps(), "child")), "parent")
    oracle.task(consumes(), "consumes")
    oracle.orphan(sleeps(), "orphan")
    await oracle.park()


oracle.run(main)
