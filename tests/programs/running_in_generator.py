"""A running task inside a synchronous generator and many nested plain calls."""

import asyncio
import types

import oracle


@types.coroutine
def old_style():
    yield
    plain()
    yield from ()


def plain():
    for _ in generator():
        pass


def generator():
    yield 1
    yield from inner_generator()


def inner_generator():
    oracle.park_blocking()
    yield 2


class Awaitable:
    def __await__(self):
        return (yield from old_style())


async def runs():
    await oracle.settle()
    await Awaitable()


async def main():
    oracle.waits("task", "runs")
    await oracle.task(runs(), "runs")


oracle.run(main)
