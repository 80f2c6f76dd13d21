"""A running task deep inside coroutines, an async generator and synchronous calls; another task awaits it."""

import asyncio

import oracle


class Work:
    def method(self):
        return [self.in_a_comprehension(number) for number in range(1)]

    def in_a_comprehension(self, number):
        return max(numbers(self), key=lambda value: self.in_a_lambda(value))

    def in_a_lambda(self, value):
        oracle.park_blocking()


def numbers(work):
    yield 1
    yield 2


async def generator():
    await asyncio.sleep(0)
    yield await inner()


async def inner():
    await oracle.settle()
    Work().method()


async def middle():
    async for number in generator():
        return number


async def runs():
    await middle()


async def waits(task):
    oracle.waits("task", task)
    await task


async def sleeps():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def main():
    task = oracle.task(runs(), "running")
    oracle.task(waits(task), "waits for it")
    oracle.task(sleeps(), "sleeps")
    oracle.waits("task", task)
    await task


oracle.run(main)
