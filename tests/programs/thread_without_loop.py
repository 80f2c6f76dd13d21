"""Threads without an event loop, blocked in a read below several calls."""

import asyncio
import os
import threading

import oracle

UNREAD, UNWRITTEN = os.pipe()


def reads():
    os.read(UNREAD, 1)  # parked here


class Worker:
    def run(self, depth):
        if depth == 0:
            reads()
        else:
            self.run(depth - 1)


async def main():
    for name, depth in (("worker", 3), ("\u5de5\u4eba", 30)):
        thread = threading.Thread(target=Worker().run, args=(depth,), name=name, daemon=True)
        thread.start()
        oracle.until(lambda thread=thread: oracle.thread_stands_in(thread, reads))
    await oracle.park()


oracle.run(main)
