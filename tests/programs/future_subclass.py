"""Subclasses of Future, and a future that is not an asyncio.Future at all."""

import asyncio

import oracle


class Plain(asyncio.Future):
    pass


class WithAttributes(asyncio.Future):
    def __init__(self, **options):
        super().__init__(**options)
        self.reason = "because"


class Foreign:
    """Has only what a task requires of a future."""

    _asyncio_future_blocking = False

    def __init__(self):
        self.callbacks = []

    def get_loop(self):
        return asyncio.get_event_loop()

    def add_done_callback(self, callback, *, context=None):
        self.callbacks.append(callback)

    def remove_done_callback(self, callback):
        self.callbacks.remove(callback)

    def done(self):
        return False

    def cancelled(self):
        return False

    def cancel(self, *args, **options):
        return False

    def __await__(self):
        self._asyncio_future_blocking = True
        yield self


async def awaits(future):
    oracle.waits("future")
    await future


async def awaits_foreign(future):
    oracle.waits(["future", "other"])
    await future


async def main():
    loop = asyncio.get_event_loop()
    oracle.task(awaits(Plain(loop=loop)), "plain")
    oracle.task(awaits(WithAttributes(loop=loop)), "with attributes")
    oracle.task(awaits_foreign(oracle.keep(Foreign())), "foreign")
    await oracle.park()


oracle.run(main)
