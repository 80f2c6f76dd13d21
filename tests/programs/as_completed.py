"""asyncio.as_completed with none of its tasks done, and with one of three done."""

import asyncio

import oracle


async def leaf(name):
    oracle.waits("sleep", label=name)
    await asyncio.sleep(3600)


async def finished():
    return 1


async def collects(*tasks):
    oracle.waits("wait", *tasks)
    for one in asyncio.as_completed(tasks):
        await one


async def main():
    first = [oracle.task(leaf(name), name) for name in ("a", "b", "c")]
    oracle.task(collects(*first), "nothing done")
    second = [oracle.task(leaf(name), name) for name in ("d", "e")]
    oracle.task(collects(oracle.task(finished(), "finished"), *second), "one done")
    await oracle.park()


oracle.run(main)
