"""Suspended in __aenter__, in the body and in __aexit__ of `async with`, also with contextlib's context managers."""

import asyncio
import contextlib

import oracle


async def pause():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


class Manager:
    def __init__(self, slow):
        self.slow = slow

    async def __aenter__(self):
        if self.slow == "enter":
            await pause()
        return self

    async def __aexit__(self, *error):
        if self.slow == "exit":
            await pause()


@contextlib.asynccontextmanager
async def generated(slow):
    if slow == "enter":
        await pause()
    yield
    if slow == "exit":
        await pause()


async def uses(manager, slow):
    async with manager:
        if slow == "body":
            await pause()


async def uses_several(slow):
    async with Manager(None), generated(None) as nothing, Manager(
        slow
    ):
        del nothing


async def stack():
    async with contextlib.AsyncExitStack() as exits:
        await exits.enter_async_context(generated("enter"))


async def main():
    for slow in ("enter", "body", "exit"):
        oracle.task(uses(Manager(slow), slow), "class, " + slow)
        oracle.task(uses(generated(slow), slow), "generator, " + slow)
    oracle.task(uses_several("exit"), "several")
    oracle.task(stack(), "exit stack")
    await oracle.park()


oracle.run(main)
