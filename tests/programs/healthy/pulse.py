"""What the healthy programs share: the choice of the event loop, counters of what they do, and a heartbeat that notes when each
loop turned.

A program prints `ready WORDS`. It answers each line on stdin with a line of JSON, and exits at the end of stdin.
"""
import asyncio
import collections
import json
import os
import sys
import threading
import time

BEAT_SECONDS = 0.01
# Ten minutes of them.
MAX_BEATS = 60_000
PID = os.getpid()
counts = collections.Counter()
# Of the thread of each loop: when it turned, and how long it had been runnable without running until then.
beats = {}


def asked_for(word):
    return word in sys.argv[1:]


def new_loop():
    """The event loop that was asked for."""
    if asked_for("uvloop"):
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def run(main):
    loop = new_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(main)


def start(endless):
    """Starts a task that is kept, and that ends the program if it fails."""
    task = asyncio.get_running_loop().create_task(endless)
    task.add_done_callback(give_up)
    kept.add(task)
    return task


kept = set()


def give_up(task):
    sys.stderr.write("a task ended: %r\n" % task)
    sys.stderr.flush()
    os._exit(3)


async def beat():
    """Turns every 10 ms, so that two beats are never in one iteration of a loop."""
    account = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    mine = beats[threading.get_native_id()] = collections.deque(maxlen=MAX_BEATS)
    while True:
        mine.append((time.monotonic_ns(), waited_ns(account)))
        counts["heartbeat"] += 1
        await asyncio.sleep(BEAT_SECONDS)


def waited_ns(account):
    """How long the thread has been runnable without running."""
    return int(os.pread(account, 100, 0).split()[1])


def ready(*words):
    threading.Thread(target=answer, name="answers", daemon=True).start()
    print("ready", *words, flush=True)


def answer():
    for _ in sys.stdin:
        print(json.dumps({"counts": dict(counts), "beats": {thread: list(of) for thread, of in beats.items()}}), flush=True)
    os._exit(0)
