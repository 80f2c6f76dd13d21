"""Owned tasks, each owned in a single way: none of them is an orphan."""

import asyncio
import collections
import contextvars
import functools
import types

import oracle

variable = contextvars.ContextVar("variable")
in_a_global = None


async def sleeps():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


def make(name):
    """A task that only the caller owns."""
    task = asyncio.get_event_loop().create_task(sleeps())
    task.set_name(name)
    oracle.expect(task, label=name, orphaned=False)
    return task


async def holds_in_a_local():
    task = make("local")
    await sleeps()
    return task


async def holds_in_a_local_of_an_outer_frame():
    task = make("local of an outer frame")
    await sleeps_deeply()
    return task


async def sleeps_deeply():
    await sleeps()


async def holds_in_a_cell():
    task = make("cell")

    async def inner():
        await sleeps()
        return task

    await inner()


async def holds_on_the_stack(*arguments):
    await sleeps()


async def generator():
    task = make("local of an async generator")
    await sleeps()
    yield task


async def consumes():
    async for _ in generator():
        pass


class Owner:
    def __init__(self, task):
        self.task = task

    def method(self):
        pass


class Slotted:
    __slots__ = ("task",)


async def awaits_shield(task):
    oracle.waits("shield", task)
    await asyncio.shield(task)


async def awaits_wait_for(task):
    oracle.waits("task", task)
    await asyncio.wait_for(task, 3000)


async def awaits(task):
    oracle.waits("task", task)
    await task


async def gathers(*tasks):
    oracle.waits("gather", *tasks)
    await asyncio.gather(*tasks)


async def waits(*tasks):
    oracle.waits("wait", *tasks)
    await asyncio.wait(tasks)


def default(task=None):
    return task


async def main():
    global in_a_global
    loop = asyncio.get_event_loop()
    in_a_global = make("global")
    attribute = Owner(make("attribute"))
    slotted = Slotted()
    slotted.task = make("slot")
    in_set, in_dict, in_list, in_tuple = {make("set")}, {1: make("dict value")}, [make("list")], (make("tuple"),)
    as_key = {make("dict key"): 1}
    in_deque = collections.deque([make("deque")])
    in_partial = functools.partial(print, make("partial"))
    in_method = Owner(make("bound method")).method
    in_namespace = types.SimpleNamespace(task=make("namespace"))
    exception = ValueError(make("exception argument"))
    function = types.FunctionType(default.__code__, globals(), "default", (make("default argument"),))
    context = contextvars.copy_context()
    context.run(variable.set, make("context variable"))
    future = loop.create_future()
    future.add_done_callback(functools.partial(print, make("callback of a future")))
    result = loop.create_future()
    result.set_result(make("result of a future"))
    timer = loop.call_later(3600, print, make("argument of a timer"))
    queue = asyncio.Queue()
    queue.put_nowait(make("in a queue"))
    gathered = asyncio.gather(make("gathered, awaited by nobody"))
    shielded = asyncio.shield(make("shielded, awaited by nobody"))

    for holder in (holds_in_a_local, holds_in_a_local_of_an_outer_frame, holds_in_a_cell, consumes):
        oracle.task(holder(), "holder: " + holder.__name__)
    oracle.task(holds_on_the_stack(make("argument of a coroutine")), "holder: argument")
    not_begun = awaits(make("argument of a coroutine that never began"))
    oracle.task(awaits(make("awaited")), "awaits")
    oracle.task(awaits_shield(make("shielded")), "shields")
    oracle.task(awaits_wait_for(make("waited for")), "wait_for")
    oracle.task(gathers(make("gathered 1"), make("gathered 2")), "gathers")
    oracle.task(waits(make("waited 1"), make("waited 2")), "waits")
    # Since 3.14, gather() and shield() record the task that called them.
    oracle.expect(
        asyncio.current_task(), owns=["gathered, awaited by nobody", "shielded, awaited by nobody"]
    )
    await oracle.park()
    del attribute, slotted, in_set, in_dict, in_list, in_tuple, as_key, in_deque, in_partial, in_method, in_namespace
    del exception, function, context, future, result, timer, queue, gathered, shielded, not_begun


oracle.run(main)
