"""The default executor has 6 workers, all in slow jobs; 44 more jobs are queued, 10 of which are look-ups of host names."""
import asyncio
import concurrent.futures
import sys
import threading

started = threading.Semaphore(0)


def slow_report():
    started.release()
    threading.Event().wait()  # the line that waits


async def report():
    await asyncio.get_running_loop().run_in_executor(None, slow_report)


async def fetch():
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)


async def main():
    loop = asyncio.get_running_loop()
    pool = concurrent.futures.ThreadPoolExecutor(6)
    loop.set_default_executor(pool)
    tasks = [asyncio.create_task(report(), name=f"report-{i}") for i in range(40)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(fetch(), name=f"fetch-{i}") for i in range(10)]
    await asyncio.sleep(0)
    for _ in range(6):
        started.acquire()
    assert pool._work_queue.qsize() == 44
    print("ready", flush=True)
    await asyncio.gather(*tasks)


asyncio.run(main())
