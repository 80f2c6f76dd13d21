"""The ways to block an event loop that every server of this folder offers: `block(way)` blocks and returns what really happened.

The line that blocks ends with `# blocks: WAY`; scripts/server-matrix finds it there. Each way takes 0.25 to 0.5 s. What they need
(ports, files, the lengths measured on this machine) is made by `prepare()`, before the server is announced. Runs on CPython 3.8 to
3.15.
"""

import asyncio
import gc
import hashlib
import importlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import time
import urllib.request

SECONDS = 0.3
# A wake-up that is this late is logged: something kept the loop from running.
LATE_SECONDS = 0.05
HEARTBEAT_SECONDS = 0.02

# Where the others are: the port of slow_peer.py, an SQLite file that the client locks, and a PostgreSQL server or None.
SETTING = json.loads(os.environ.get("WAYS", "{}"))


def optional(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


requests, httpx, psycopg2, bcrypt = map(optional, ("requests", "httpx", "psycopg2", "bcrypt"))


# The ways


def sleeps():
    time.sleep(SECONDS)  # blocks: sleep


def gets_with_requests():
    requests.get(_url, timeout=10)  # blocks: requests


def gets_with_urllib():
    urllib.request.urlopen(_url, timeout=10).read()  # blocks: urllib


def gets_with_httpx():
    _httpx_client.get(_url)  # blocks: httpx


def queries_postgres():
    _postgres_cursor.execute("select pg_sleep(%s)", (SECONDS,))  # blocks: psycopg2


def waits_for_sqlite():
    _sqlite.execute("begin immediate")  # blocks: sqlite
    _sqlite.execute("rollback")


def runs_child():
    subprocess.run(["sleep", str(SECONDS)], check=True)  # blocks: subprocess


def encodes_json():
    json.dumps(_large)  # blocks: json


def hashes_password():
    if bcrypt:
        return bcrypt.hashpw(b"password", _salt)  # blocks: hash
    return hashlib.pbkdf2_hmac("sha256", b"password", b"salt", _rounds)  # blocks: hash


def searches():
    re.search(r"(a+)+$", _text)  # blocks: regex


def imports():
    sys.modules.pop("slow_module", None)
    import slow_module  # blocks: import

    return slow_module


def collects():
    # The heap lies in the permanent generation, so that no other collection takes long.
    gc.unfreeze()
    ends = time.monotonic() + SECONDS * 0.85
    while time.monotonic() < ends:
        gc.collect()  # blocks: gc
    gc.freeze()


WAYS = {
    "sleep": sleeps,
    "requests": gets_with_requests,
    "urllib": gets_with_urllib,
    "httpx": gets_with_httpx,
    "psycopg2": queries_postgres,
    "sqlite": waits_for_sqlite,
    "subprocess": runs_child,
    "json": encodes_json,
    "hash": hashes_password,
    "regex": searches,
    "import": imports,
    "gc": collects,
}


# Preparation


def least_seconds(work):
    """CPU time, which a busy machine changes little."""
    taken = []
    for _ in range(3):
        started = time.thread_time()
        work()
        taken.append(time.thread_time() - started)
    return min(taken)


def prepare():
    """Makes what the ways need. Returns those that this process cannot offer."""
    global _url, _httpx_client, _postgres_cursor, _sqlite, _large, _salt, _rounds, _text, _heap
    missing = [name for name in ("requests", "httpx", "psycopg2") if not globals()[name]]
    _url = "http://127.0.0.1:%d/" % SETTING["peer"]
    if httpx:
        _httpx_client = httpx.Client(timeout=10)
    if psycopg2 and SETTING["postgres"]:
        connection = psycopg2.connect(SETTING["postgres"])
        connection.autocommit = True
        _postgres_cursor = connection.cursor()
    elif psycopg2:
        missing.append("psycopg2")
    # Not every server prepares in the thread that runs its loop.
    _sqlite = sqlite3.connect(SETTING["sqlite"], timeout=10, isolation_level=None, check_same_thread=False)
    _sqlite.execute("select count(*) from sqlite_master").fetchall()
    record = {"id": 7, "name": "a name of usual length", "scores": [1.5, 2.5, 3.5], "parent": None}
    per_record = least_seconds(lambda: json.dumps([record] * 5000)) / 5000
    _large = [record] * int(SECONDS / per_record)
    if bcrypt:
        cost = least_seconds(lambda: bcrypt.hashpw(b"password", bcrypt.gensalt(8)))
        _salt = bcrypt.gensalt(8 + doublings(cost))
    else:
        cost = least_seconds(lambda: hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 20000))
        _rounds = int(20000 * SECONDS / cost)
    cost = least_seconds(lambda: re.search(r"(a+)+$", "a" * 16 + "b"))
    _text = "a" * (16 + doublings(cost)) + "b"
    _heap = [[] for _ in range(1500000)]
    gc.collect()
    gc.freeze()
    return missing


def doublings(cost):
    """How often it must be doubled to last for 0.25 to 0.5 s."""
    count = 0
    while cost * 2**count < 0.25:
        count += 1
    return count


# What the handlers call


def starved_ns():
    """Time for which this thread has waited for a CPU since it started."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1])
    except (OSError, IndexError):
        return 0


def task_name():
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task.get_name() if task else None


def block(way):
    """Blocks; returns JSON: when (CLOCK_MONOTONIC), in which task, and how long the machine kept the thread from running."""
    starved, start = starved_ns(), time.monotonic_ns()
    WAYS[way]()
    end = time.monotonic_ns()
    return json.dumps({"start_ns": start, "end_ns": end, "starved_ns": starved_ns() - starved, "task": task_name()})


_late = []
_heartbeat = None


async def beat():
    while True:
        due = time.monotonic() + HEARTBEAT_SECONDS
        await asyncio.sleep(HEARTBEAT_SECONDS)
        now = time.monotonic()
        if now > due + LATE_SECONDS:
            _late.append([int(due * 1e9), int(now * 1e9)])


async def rest():
    """What a healthy request does; returns JSON: when the loop has been late since the last one."""
    global _heartbeat, _late
    _heartbeat = _heartbeat or asyncio.get_event_loop().create_task(beat())
    await asyncio.sleep(0.005)
    late, _late = _late, []
    return json.dumps({"late": late})
