"""Awaitables that are not coroutines: types.coroutine generators, and objects with every kind of __await__."""

import asyncio
import types

import oracle


async def pause():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


@types.coroutine
def generator():
    yield from pause()


@types.coroutine
def generator_of_generators():
    yield from plain_generator()


def plain_generator():
    yield from generator()


class ByGenerator:
    def __await__(self):
        yield from pause().__await__()


class ByGeneratorOfFuture:
    def __await__(self):
        oracle.waits("future")
        return (yield from asyncio.get_event_loop().create_future())


class ByWrapper:
    def __await__(self):
        return pause().__await__()


class ByFuture:
    def __await__(self):
        oracle.waits("future")
        return asyncio.get_event_loop().create_future().__await__()


class Steps:
    """A plain iterator, which is opaque."""

    def __init__(self, inner):
        self.inner = inner

    def __iter__(self):
        return self

    def __next__(self):
        return next(self.inner)


class ByIterator:
    def __await__(self):
        oracle.waits("future")
        return Steps(asyncio.get_event_loop().create_future().__await__())


class ByBuiltinIterator:
    """Ends in `map`, a builtin type that hides a future."""

    def __await__(self):
        oracle.waits("future")
        return map(lambda future: future, asyncio.get_event_loop().create_future().__await__())


async def awaits(thing):
    await thing


async def awaits_two_levels(thing):
    await awaits(thing)


async def main():
    oracle.task(awaits(generator()), "types.coroutine")
    oracle.task(awaits(generator_of_generators()), "generators")
    oracle.task(awaits_two_levels(ByGenerator()), "__await__ generator")
    oracle.task(awaits(ByGeneratorOfFuture()), "__await__ generator of a future")
    oracle.task(awaits_two_levels(ByWrapper()), "__await__ coroutine wrapper")
    oracle.task(awaits(ByFuture()), "__await__ future")
    oracle.task(awaits_two_levels(ByIterator()), "__await__ iterator")
    oracle.task(awaits(ByBuiltinIterator()), "__await__ builtin iterator")
    await oracle.park()


oracle.run(main)
