"""churn.py FILE: creates and finishes tasks as fast as it can, beside long-lived ones. Never idle; exits by itself.

The document lists the long-lived tasks with their stacks, and every chain of (function, line) in this file at which a
short-lived task can be suspended or about to start."""

import asyncio
import gc
import os
import sys
import time

import oracle

LONG_LIVED = 30
BATCH = 20
LIFETIME_S = 120.0


async def long_lived(depth, future):
    if depth:
        await long_lived(depth - 1, future)
    else:
        oracle.waits("future")
        await future


async def yields():
    await asyncio.sleep(0)


async def nests(depth):
    if depth:
        await nests(depth - 1)
    else:
        await asyncio.sleep(0)


async def iterates():
    async for _ in values():
        pass


async def values():
    for number in range(2):
        await asyncio.sleep(0)
        yield number


async def awaits(future):
    await future


async def finishes():
    return 1


def short_lived(future):
    """One of each kind."""
    return [yields(), nests(3), iterates(), awaits(future), finishes()]


def legal_chains(loop):
    """Every stack a short-lived task can have between two steps, found by stepping through it by hand."""
    chains = []
    future = loop.create_future()
    for coroutine in short_lived(future):
        try:
            while True:
                chains.append(oracle.suspended_stack(coroutine)[0])
                if coroutine.send(None) is future:
                    chains.append(oracle.suspended_stack(coroutine)[0])
                    future.set_result(None)
                    future._asyncio_future_blocking = False
        except StopIteration:
            pass
    return chains


async def churn():
    ends = time.monotonic() + LIFETIME_S
    loop = asyncio.get_event_loop()
    while time.monotonic() < ends:
        woken = loop.create_future()
        tasks = []
        for _ in range(BATCH // 5):
            tasks += [loop.create_task(coroutine) for coroutine in short_lived(woken)]
        loop.call_soon(woken.set_result, None)
        await asyncio.wait(tasks)
    os._exit(0)


async def main():
    loop = asyncio.get_event_loop()
    future = loop.create_future()
    for number in range(LONG_LIVED):
        oracle.task(long_lived(number, future), "long-lived %d" % number)
    itself = asyncio.current_task()
    chains = legal_chains(loop)
    await oracle.settle()
    oracle.write_document(
        {
            "tasks": oracle.describe_tasks(itself, sys._getframe(), leave_out=itself),
            "moving": [hex(id(itself))],
            "chains": chains,
            "file": __file__,
        }
    )
    loop.add_reader(0, lambda: os._exit(0))
    gc.enable()
    print("ready", flush=True)
    await churn()


oracle.run(main)
