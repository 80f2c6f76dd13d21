"""asyncio.to_thread."""
# needs: 3.9

import asyncio
import os
import threading

import oracle

UNREAD, UNWRITTEN = os.pipe()


def job():
    os.read(UNREAD, 1)  # parked here


async def works():
    oracle.waits("executor")
    await asyncio.to_thread(job)


async def main():
    oracle.task(works(), "works")
    oracle.until(
        lambda: any(
            oracle.thread_stands_in(thread, job)
            for thread in threading.enumerate()
            if thread is not threading.main_thread()
        )
    )
    await oracle.park()


oracle.run(main)
