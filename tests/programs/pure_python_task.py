"""Pure-Python tasks and futures, alone and mixed with C ones."""

import asyncio

import oracle

Task, Future = asyncio.tasks._PyTask, asyncio.futures._PyFuture


class Subclass(Task):
    pass


async def sleeps():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def awaits_future(future):
    oracle.waits("future")
    await future


async def parent(task):
    oracle.waits("task", task)
    await task


async def gathers(*tasks):
    oracle.waits("gather", *tasks)
    await asyncio.gather(*tasks)


async def main():
    loop = asyncio.get_event_loop()
    oracle.task(awaits_future(Future(loop=loop)), "C task, Python future")
    in_c = oracle.task(sleeps(), "in C")
    for kind in (Task, Subclass):
        loop.set_task_factory(lambda loop, coroutine, **options: kind(coroutine, loop=loop, **options))
        name = kind.__name__
        child = oracle.task(sleeps(), name)
        oracle.task(parent(child), "parent of " + name)
        oracle.task(awaits_future(Future(loop=loop)), name + ", Python future")
        oracle.task(awaits_future(loop.create_future()), name + ", C future")
        oracle.task(parent(in_c), name + ", awaits a task in C")
        oracle.task(gathers(oracle.task(sleeps(), "x " + name), oracle.task(sleeps(), "y " + name)), "gathers " + name)
        loop.set_task_factory(None)
        oracle.task(parent(child), "C task, awaits " + name)
    await oracle.park()


oracle.run(main)
