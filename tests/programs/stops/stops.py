"""`stops.py FILE [TASKS]`: sleeping tasks beside a thread that sends real-time signals and one that measures pauses.

Writes what it knows to FILE every 50 ms, until stdin closes.
"""

import asyncio
import json
import os
import signal
import sys
import threading
import time

FILE, TASKS = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10
# A signal that has not arrived by then is lost.
PATIENCE = 20
SIGNAL = signal.SIGRTMIN + 3

sent = received = 0
lost = False
arrived = threading.Event()
longest_pause = 0.0


def receives(number, frame):
    global received
    received += 1
    arrived.set()


def sends():
    """One after the other: Python's own handlers merge signals that come together."""
    global sent, lost
    main = threading.main_thread().ident
    while not lost:
        arrived.clear()
        sent += 1
        signal.pthread_kill(main, SIGNAL)
        lost = not arrived.wait(PATIENCE)


def measures_pauses():
    global longest_pause
    before = time.perf_counter()
    while True:
        time.sleep(0.001)
        now = time.perf_counter()
        longest_pause = max(longest_pause, now - before)
        before = now


def says():
    with open(FILE + ".new", "w") as file:
        json.dump({"sent": sent, "received": received, "lost": lost, "longest_pause": longest_pause}, file)
    os.replace(FILE + ".new", FILE)


async def sleeps():
    await asyncio.sleep(3600)


async def main():
    global longest_pause
    tasks = [asyncio.create_task(sleeps()) for _ in range(TASKS)]
    await asyncio.sleep(0)
    signal.signal(SIGNAL, receives)
    for job in (sends, measures_pauses):
        threading.Thread(target=job, daemon=True).start()
    await asyncio.sleep(0.1)
    longest_pause = 0.0
    says()
    print("ready", flush=True)
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    while not ended.done():
        await asyncio.sleep(0.05)
        says()
    for task in tasks:
        task.cancel()


asyncio.run(main())
