"""Queues: two getters on an empty one, two putters on a full one; also LIFO and priority queues."""

import asyncio

import oracle


async def gets(queue):
    oracle.waits("queue_get")
    await queue.get()


async def puts(queue):
    await queue.put(1)
    oracle.waits("queue_put")
    await queue.put(2)


async def main():
    empty, full = asyncio.Queue(), asyncio.Queue(maxsize=1)
    oracle.task(gets(empty), "first getter")
    oracle.task(gets(empty), "second getter")
    oracle.task(puts(full), "first putter")
    await asyncio.sleep(0)
    oracle.expect(oracle.task(full.put(3), "second putter"), "queue_put")
    oracle.task(gets(asyncio.LifoQueue()), "lifo getter")
    oracle.task(gets(asyncio.PriorityQueue()), "priority getter")
    await oracle.park()


oracle.run(main)
