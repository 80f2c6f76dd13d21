"""A small web shop that shows asyncprof the good and bad habits of real asyncio programs.

Three of the bad ones block the event loop again and again: time.sleep(), a blocking HTTP client and a long computation.
Runs on Python 3.8 and later without packages, prints `ready PID`, and exits by itself after a few minutes.
"""

import asyncio
import http.client
import os
import socket
import sys
import threading
import time

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
    """A producer that outruns its consumer, in a TaskGroup if this Python has it."""
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
    """Holds the lock across a slow operation."""
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
    """Takes the two locks in the opposite order: a deadlock."""
    await ready.wait()
    async with second:
        await asyncio.sleep(0.05)
        async with first:
            pass


async def send_receipt():
    """Fire and forget: if it failed, nobody would notice."""
    await asyncio.sleep(LIFETIME)


async def charge_card():
    raise ValueError("card 4711 was declined")


async def print_labels():
    """Sleeps for a slow printer with time.sleep(), which blocks every other task."""
    while True:
        await asyncio.sleep(0.9)
        time.sleep(0.25)


async def check_stock(port):
    """Queries the warehouse with a blocking client, as requests.get() would."""
    while True:
        await asyncio.sleep(1.3)
        warehouse = http.client.HTTPConnection("127.0.0.1", port)
        warehouse.request("GET", "/stock")
        warehouse.getresponse().read()
        warehouse.close()


def score(seconds):
    """Computes recommendations; takes the same time on every machine."""
    total, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        for number in range(1000):
            total += number * number
    return total


async def recommend():
    while True:
        await asyncio.sleep(1.7)
        score(0.15)


def run_warehouse(server):
    """A slow third-party server, run in a thread to keep the example in one file."""
    while True:
        connection, _ = server.accept()
        connection.recv(65536)
        time.sleep(0.18)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n17")
        connection.close()


async def read_report(stop):
    await asyncio.get_running_loop().run_in_executor(None, stop.wait, LIFETIME)


async def main():
    index, accounts, ledger, both = asyncio.Lock(), asyncio.Lock(), asyncio.Lock(), asyncio.Event()
    stop = threading.Event()
    warehouse = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=run_warehouse, args=(warehouse,), name="warehouse", daemon=True).start()
    tasks = [
        asyncio.create_task(update_prices(), name="prices"),
        asyncio.create_task(run_orders(), name="orders"),
        asyncio.create_task(rebuild_index(index), name="indexer"),
        asyncio.create_task(debit(accounts, ledger, both), name="debit"),
        asyncio.create_task(credit(accounts, ledger, both), name="credit"),
        asyncio.create_task(read_report(stop), name="report"),
        asyncio.create_task(print_labels(), name="labels"),
        asyncio.create_task(check_stock(warehouse.getsockname()[1]), name="stock"),
        asyncio.create_task(recommend(), name="recommend"),
    ]
    failed = asyncio.create_task(charge_card(), name="charge")
    asyncio.create_task(send_receipt(), name="receipt")
    await asyncio.sleep(0.2)
    tasks += [asyncio.create_task(search(index), name="search-%d" % number) for number in range(3)]
    await asyncio.sleep(0.1)
    print("ready %d" % os.getpid(), flush=True)
    try:
        await asyncio.sleep(LIFETIME)
    finally:
        # Clean up, so that the program exits without warnings, on Ctrl-C too.
        stop.set()
        failed.exception()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


asyncio.run(main())
