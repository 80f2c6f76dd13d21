"""run_in_executor with the default and with a separate executor: running jobs, and queued ones."""

import asyncio
import concurrent.futures
import os
import threading

import oracle

UNREAD, UNWRITTEN = os.pipe()


def job():
    os.read(UNREAD, 1)  # parked here


async def works(executor):
    oracle.waits("executor")
    await asyncio.get_event_loop().run_in_executor(executor, job)


def workers_stand(count):
    workers = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    return len(workers) == count and all(oracle.thread_stands_in(worker, job) for worker in workers)


async def main():
    own = oracle.keep(concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="own"))
    oracle.task(works(None), "default executor")
    oracle.task(works(own), "own executor")
    await asyncio.sleep(0)
    oracle.task(works(own), "in the queue")
    oracle.until(lambda: workers_stand(2))
    await oracle.park()


oracle.run(main)
