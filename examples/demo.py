"""A small shop with the habits of real asyncio programs, good and bad, to look at with asyncprof.

Runs on Python 3.8 and later without any package, prints `ready PID`, and ends by itself after some minutes.
"""

import asyncio
import os
import sys
import threading

LIFETIME = float(sys.argv[1]) if len(sys.argv) > 1 else 300.0


async def fetch_price(item):
    await asyncio.sleep(LIFETIME + item)


async def fetch_with_limit(limit, item):
    async with limit:
        await fetch_price(item)


async def update_prices():
    """Twenty downloads, four at a time."""
    limit = asyncio.Semaphore(4)
    await asyncio.gather(*(fetch_with_limit(limit, item) for item in range(20)))


async def produce(queue):
    number = 0
    while True:
        await queue.put("order %d" % number)
        number += 1


async def consume(queue):
    await queue.get()
    await asyncio.sleep(LIFETIME)


async def run_orders():
    """A producer that is faster than its consumer, in a TaskGroup where Python has one."""
    queue = asyncio.Queue(maxsize=5)
    if hasattr(asyncio, "TaskGroup"):
        async with asyncio.TaskGroup() as group:
            group.create_task(produce(queue), name="producer")
            group.create_task(consume(queue), name="consumer")
    else:
        await asyncio.gather(
            asyncio.create_task(produce(queue), name="producer"), asyncio.create_task(consume(queue), name="consumer")
        )


async def rebuild_index(lock):
    """Holds the lock while it waits for something slow."""
    async with lock:
        await asyncio.sleep(LIFETIME)


async def search(lock):
    async with lock:
        return "found"


async def debit(first, second, ready):
    async with first:
        ready.set()
        await asyncio.sleep(0.05)
        async with second:
            pass


async def credit(first, second, ready):
    """Takes the two locks in the other order: neither task ever goes on."""
    await ready.wait()
    async with second:
        await asyncio.sleep(0.05)
        async with first:
            pass


async def send_receipt():
    """Started and forgotten: nobody would hear of its failure."""
    await asyncio.sleep(LIFETIME)


async def charge_card():
    raise ValueError("card 4711 was declined")


async def read_report(stop):
    await asyncio.get_running_loop().run_in_executor(None, stop.wait, LIFETIME)


async def main():
    index, accounts, ledger, both = asyncio.Lock(), asyncio.Lock(), asyncio.Lock(), asyncio.Event()
    stop = threading.Event()
    tasks = [
        asyncio.create_task(update_prices(), name="prices"),
        asyncio.create_task(run_orders(), name="orders"),
        asyncio.create_task(rebuild_index(index), name="indexer"),
        asyncio.create_task(debit(accounts, ledger, both), name="debit"),
        asyncio.create_task(credit(accounts, ledger, both), name="credit"),
        asyncio.create_task(read_report(stop), name="report"),
    ]
    failed = asyncio.create_task(charge_card(), name="charge")
    asyncio.create_task(send_receipt(), name="receipt")
    await asyncio.sleep(0.2)
    tasks += [asyncio.create_task(search(index), name="search-%d" % number) for number in range(3)]
    await asyncio.sleep(0.1)
    print("ready %d" % os.getpid(), flush=True)
    await asyncio.sleep(LIFETIME)
    # The picture has been taken; now be tidy, so that ending is quiet.
    stop.set()
    failed.exception()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


asyncio.run(main())
