"""Async shapes of many kinds in one process, of which memory images are saved.

Runs on CPython 3.8 to 3.15. It prints `ready` when everything stands still: the main thread in the middle of a task's
step, blocked in a read, a second thread in the selector of its own event loop. It ends when stdin is closed.
With a number as its argument, so many more tasks sleep.
"""

import asyncio
import functools
import os
import sys
import threading

NEVER, UNWRITTEN = os.pipe()
kept = []


def task(coroutine, name):
    made = asyncio.get_running_loop().create_task(coroutine)
    made.set_name(name)
    kept.append(made)
    return made


async def sleeps(seconds=3600):
    await asyncio.sleep(seconds)


async def nested(depth):
    if depth:
        await nested(depth - 1)
    else:
        await sleeps()


async def gathers():
    await asyncio.gather(sleeps(), asyncio.gather(nested(2), sleeps()), return_exceptions=True)


async def shields(inner):
    await asyncio.shield(inner)


async def waits(inner):
    await asyncio.wait([inner], timeout=1800)


async def waits_for(inner):
    await asyncio.wait_for(asyncio.shield(inner), 900)


async def awaits(inner):
    await inner


async def task_group():
    async with asyncio.TaskGroup() as group:
        group.create_task(sleeps(), name="in a group")
        group.create_task(nested(1), name="also in a group")


async def timeout():
    async with asyncio.timeout(700):
        await sleeps()


async def holds(lock):
    async with lock:
        await sleeps()


async def wants(lock):
    async with lock:
        pass


async def gets(queue):
    await queue.get()


async def puts(queue):
    await queue.put(1)


async def event_wait(event):
    await event.wait()


async def semaphore_wait(semaphore):
    async with semaphore:
        async with semaphore:
            pass


async def numbers():
    yield 1
    await sleeps()
    yield 2


async def iterates():
    async for number in numbers():
        kept.append(number)


async def comprehends():
    return [number async for number in numbers()]


class Awaitable:
    def __await__(self):
        return (yield from self.future().__await__())

    async def future(self):
        await asyncio.get_running_loop().create_future()


async def custom():
    await Awaitable()


async def executor():
    await asyncio.get_running_loop().run_in_executor(None, os.read, NEVER, 1)


async def fails():
    raise ValueError("nobody looks \u00e4\u2603")


async def catches():
    try:
        await sleeps()
    except asyncio.CancelledError:
        await sleeps()


async def first_of_cycle(box):
    await box[0]


async def runs(future, cancelled, being_cancelled):
    for step in range(20):
        await asyncio.sleep(0)
        if step == 10:
            cancelled.cancel()
    future.set_result(None)
    being_cancelled.cancel()
    await numbers_in_a_step().__anext__()


async def numbers_in_a_step():
    yield blocks(3)


def blocks(depth):
    if depth:
        return [blocks(depth - 1) for _ in range(1)]
    return functools.reduce(park, [0], 0)


def park(_, __):
    print("ready", flush=True)
    os.read(0, 1)
    os._exit(0)


async def main(more):
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    future, cancelled = loop.create_future(), task(catches(), "cancelled in vain")
    being_cancelled = task(sleeps(), "being cancelled")
    task(awaits(future), "woken")
    shared = task(nested(3), "shared")
    for number, wait in enumerate([awaits, awaits, shields, waits, waits_for]):
        task(wait(shared), "%s %d" % (wait.__name__, number))
    task(gathers(), "gathers")
    lock, queue, full = asyncio.Lock(), asyncio.Queue(), asyncio.Queue(1)
    full.put_nowait(0)
    task(holds(lock), "holds")
    task(wants(lock), "wants")
    task(gets(queue), "gets")
    task(puts(full), "puts")
    task(event_wait(asyncio.Event()), "event")
    task(semaphore_wait(asyncio.Semaphore()), "semaphore")
    task(iterates(), "iterates")
    task(comprehends(), "comprehends")
    task(custom(), "custom")
    task(executor(), "executor")
    task(fails(), "fails \u2603")
    if hasattr(asyncio, "TaskGroup"):
        task(task_group(), "task group")
        task(timeout(), "timeout")
    box = []
    box.append(task(first_of_cycle(box), "cycle"))
    box[0] = task(awaits(box[0]), "cycle too")
    loop.create_task(sleeps(1234))  # An orphan with a lazy name.
    kept.extend(loop.create_task(sleeps()) for _ in range(more))
    await task(runs(future, cancelled, being_cancelled), "runs")


async def second():
    task(nested(4), "in the second loop")
    asyncio.get_running_loop().call_soon(started.set)
    asyncio.current_task().set_name("main of the second loop")
    await asyncio.sleep(3600)


started = threading.Event()
threading.Thread(target=lambda: asyncio.run(second()), name="second", daemon=True).start()
started.wait()
asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
