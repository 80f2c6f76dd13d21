"""Subclasses of Task with attributes, with slots, and with a property that shadows an attribute."""

import asyncio

import oracle


class Plain(asyncio.Task):
    pass


class WithAttributes(asyncio.Task):
    def __init__(self, *args, **kwargs):
        self.extra = list(range(10))
        self._coro_extra = "x"
        super().__init__(*args, **kwargs)


class WithSlots(WithAttributes):
    __slots__ = ("one", "two")


async def leaf():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def parent(task):
    oracle.waits("task", task)
    await task


async def main():
    loop = asyncio.get_event_loop()
    for kind in (Plain, WithAttributes, WithSlots):
        loop.set_task_factory(lambda loop, coroutine, **options: kind(coroutine, loop=loop, **options))
        child = oracle.task(leaf(), kind.__name__)
        oracle.task(parent(child), "parent of " + kind.__name__)
    loop.set_task_factory(None)
    await oracle.park()


oracle.run(main)
