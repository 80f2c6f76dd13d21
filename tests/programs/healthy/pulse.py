"""What the healthy programs share: the choice of the event loop, counters of what they do, and a heartbeat that notes when the
loop was late.

A program prints `ready WORDS`. It answers each line on stdin with a line of JSON, and exits at the end of stdin.
"""
import asyncio
import collections
import json
import os
import sys
import threading
import time

BEAT_NS, LATE_NS = 10_000_000, 50_000_000
MAX_LATE = 20_000
PID = os.getpid()
counts = collections.Counter()
late = []


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
    """Turns every 10 ms, and notes each time that it was 50 ms late or more, with what its thread waited for a processor. There is
    no gap between what it measures, so that nothing in this thread escapes it."""
    account = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    thread = threading.get_native_id()
    last, last_waited = time.monotonic_ns(), waited_ns(account)
    while True:
        await asyncio.sleep(BEAT_NS / 1e9)
        now, waited = time.monotonic_ns(), waited_ns(account)
        counts["heartbeat"] += 1
        if now - last >= BEAT_NS + LATE_NS and len(late) < MAX_LATE:
            late.append({"thread": thread, "start_ns": last, "end_ns": now, "starved_ns": waited - last_waited})
        last, last_waited = now, waited


def waited_ns(account):
    """How long the thread has been runnable without running."""
    return int(os.pread(account, 100, 0).split()[1])


def ready(*words):
    threading.Thread(target=answer, name="answers", daemon=True).start()
    print("ready", *words, flush=True)


def answer():
    for _ in sys.stdin:
        print(json.dumps({"counts": dict(counts), "late": list(late)}), flush=True)
    os._exit(0)
