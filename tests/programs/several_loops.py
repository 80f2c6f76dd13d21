"""Event loops in three threads, each with its own tasks."""

import asyncio
import selectors
import sys
import threading

import oracle


async def leaf():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def parent(task):
    oracle.waits("task", task)
    await task


async def in_thread(number, at_rest):
    child = oracle.task(leaf(), "leaf %d" % number)
    oracle.task(parent(child), "parent %d" % number)
    asyncio.current_task().set_name("main %d" % number)
    oracle.settle_then(at_rest.set)
    oracle.waits("future")
    await asyncio.get_event_loop().create_future()


def start(number):
    at_rest = threading.Event()
    thread = threading.Thread(
        target=lambda: asyncio.run(in_thread(number, at_rest)), name="loop %d" % number, daemon=True
    )
    thread.start()
    select = selectors.DefaultSelector.select.__code__
    oracle.until(lambda: at_rest.is_set() and sys._current_frames()[thread.ident].f_code is select)


async def main():
    for number in range(3):
        start(number)
    oracle.task(leaf(), "leaf")
    await oracle.park()


oracle.run(main)
