"""The ways to block an event loop: one function for each kind of stall, and the cause and location to expect in the report.

A stall is a task's step that calls one of these functions with a length in seconds. The line that blocks is marked `# site`;
in a function without that mark, every line counts as correct. Runs on CPython 3.8 to 3.15.
"""

import asyncio
import ctypes
import gc
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()
# Its functions are called with the GIL held, unlike those of ctypes.CDLL.
LIBC_WITH_GIL = ctypes.PyDLL(None)

_helper = None
_garbage = []
_sum_per_s = _find_per_s2 = None


# Preparation


class Helper:
    """The helper process, helper.py."""

    def __init__(self, dns_address):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "helper.py")
        command = [sys.executable, script, dns_address]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)

    def ask(self, request):
        self.process.stdin.write(request.encode() + b"\n")

    def wait(self):
        self.process.stdout.read(1)

    def end(self):
        self.process.stdin.close()
        self.process.wait()


class Worker:
    """A thread that runs one job at a time, and waits without the GIL in between."""

    def __init__(self):
        self.reads, self.writes = os.pipe()
        self.job = None
        thread = threading.Thread(target=self.run, name="worker")
        thread.daemon = True
        thread.start()

    def run(self):
        while os.read(self.reads, 1):
            self.job()

    def begin(self, job):
        self.job = job
        os.write(self.writes, b"x")


def prepare(dns_address):
    """Starts the helper, and calibrates the kinds whose length depends on the machine's speed."""
    global _helper, _worker, _sum_per_s, _find_per_s2
    _helper = Helper(dns_address)
    _worker = Worker()
    _sum_per_s = 2000000 / least_seconds(lambda: sum(range(2000000)))
    _find_per_s2 = 2000**2 / least_seconds(lambda: PATTERN.search("a" * 2000))


def prepare_garbage():
    """Creates millions of objects, moved to the generation that only a full collection visits."""
    if not _garbage:
        gc.disable()
        _garbage.extend([] for _ in range(2000000))
        gc.enable()
        gc.collect()


def abilities():
    """For each ability that a kind may need: why this machine lacks it, or None."""
    able = json.loads(_helper.process.stdout.readline().decode())
    able["gil"] = "a build without the GIL" if FREE_THREADED else None
    return able


def end():
    _helper.end()


def least_seconds(work):
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


# Kinds: step(seconds)


def sleeps(seconds):
    time.sleep(seconds)  # site


def computes(seconds):
    total = 0
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for number in range(200):
            total += number * number
    return total


def reads_pipe(seconds):
    _helper.ask("write %.3f" % (seconds * 1000))
    os.read(_helper.process.stdout.fileno(), 1)  # site


LOCK = threading.Lock()


async def lock_is_held(seconds):
    held = []

    def holds():
        with LOCK:
            held.append(True)
            time.sleep(seconds + 0.002)

    _worker.begin(holds)
    while not held:
        await asyncio.sleep(0.0005)


def takes_lock(seconds):
    LOCK.acquire()  # site
    LOCK.release()


def sleeps_with_gil(seconds):
    LIBC_WITH_GIL.usleep(int(seconds * 1e6))  # site


def sums(seconds):
    return sum(range(int(_sum_per_s * seconds)))  # site


PATTERN = re.compile("a*b")


def searches(seconds):
    text = "a" * int((_find_per_s2 * seconds) ** 0.5)
    PATTERN.search(text)  # site


def collects(seconds):
    ends = time.monotonic() + seconds * 0.75
    while True:
        gc.collect()  # site
        if time.monotonic() > ends:
            return


def runs_process(seconds):
    subprocess.run(["sleep", "%.3f" % seconds])  # site


def resolves_name(seconds):
    socket.getaddrinfo("d%d.stall.test" % (seconds * 1000), 80, socket.AF_INET)  # site


def is_stopped(seconds):
    _helper.ask("stop %.3f" % (seconds * 1000))
    waits_in_python(_helper.process.stdout.fileno())


def waits_in_python(fd):
    """Polls instead of blocking, so that only the stop can stall it."""
    os.set_blocking(fd, False)
    answer = None
    while not answer:
        try:
            answer = os.read(fd, 1)
        except BlockingIOError:
            continue
    os.set_blocking(fd, True)


def has_quota(seconds):
    _helper.ask("quota on")
    _helper.wait()
    computes_under_quota(seconds)
    _helper.ask("quota off")
    _helper.wait()


def computes_under_quota(seconds):
    total = 0
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        for number in range(200):
            total += number * number
    return total


# Another thread holds the GIL while this one computes.


def hogs_gil(seconds):
    LIBC_WITH_GIL.usleep(int(seconds * 1e6))  # site


def wants_gil(seconds):
    done = []

    def hog():
        hogs_gil(seconds)
        done.append(True)

    _worker.begin(hog)
    spins_until(done)


def spins_until(done):
    while not done:
        for _ in range(200):
            pass


# Another thread holds the GIL while this one has events but cannot leave its selector.


async def wakes_without_gil(seconds):
    """Awaits data from a thread that holds the GIL after sending it."""
    loop = asyncio.get_event_loop()
    reads, writes = socket.socketpair()
    reads.setblocking(False)
    held = []

    def hog():
        # Gives the loop time to reach its selector.
        time.sleep(0.003)
        held.append(time.monotonic_ns())
        LIBC_WITH_GIL.write(writes.fileno(), b"x", 1)
        hogs_gil_of_selector(seconds)

    try:
        _worker.begin(hog)
        await loop.sock_recv(reads, 1)
        return held[0], held[0], time.monotonic_ns()
    finally:
        reads.close()
        writes.close()


def hogs_gil_of_selector(seconds):
    sum(range(int(_sum_per_s * seconds)))  # site


# Many callbacks in one iteration.

CALLBACK_S = 0.0005


async def gets_many_callbacks(seconds):
    """All of them run in the loop's next iteration."""
    loop = asyncio.get_event_loop()
    done = loop.create_future()
    count = int(seconds / CALLBACK_S)
    times = []
    for left in range(count - 1, -1, -1):
        loop.call_soon(short_callback, left, times, done)
    scheduled = time.monotonic_ns()
    return (scheduled,) + await done


def short_callback(left, times, done):
    started = time.monotonic_ns()
    if not times:
        times.append(started)
    while time.monotonic_ns() < started + CALLBACK_S * 1e9:
        pass
    if not left:
        done.set_result((times[0], time.monotonic_ns()))


class Kind:
    """A kind of stall."""

    def __init__(self, name, causes, step, sites=None, before=None, needs=None):
        self.name = name
        # Causes accepted in the report; the first is the expected one.
        self.causes = causes
        self.step = step
        # Functions accepted as the location.
        self.sites = sites or [step]
        # Awaited before the step.
        self.before = before
        # The ability of the machine that it needs, or None.
        self.needs = needs


# Without a GIL, C code that sleeps is a blocking call like any other.
WITH_GIL = ["native", "blocking_call"] if FREE_THREADED else ["native"]

KINDS = [
    Kind("sleep", ["blocking_call"], sleeps),
    Kind("cpu", ["cpu"], computes),
    Kind("pipe", ["blocking_call"], reads_pipe),
    Kind("lock", ["blocking_call"], takes_lock, before=lock_is_held),
    Kind("native_sleep", WITH_GIL, sleeps_with_gil),
    Kind("native_sum", ["native"], sums),
    Kind("native_re", ["native"], searches),
    Kind("gc", ["gc"], collects),
    Kind("subprocess", ["blocking_call"], runs_process),
    Kind("dns", ["blocking_call"], resolves_name, needs="dns"),
    Kind("stopped", ["suspended"], is_stopped, sites=[is_stopped, waits_in_python]),
    Kind("quota", ["cpu_starved"], has_quota, sites=[has_quota, computes_under_quota], needs="quota"),
    Kind("gil_in_step", ["gil_wait"], wants_gil, sites=[hogs_gil, spins_until], needs="gil"),
    Kind("gil_in_selector", ["gil_wait"], wakes_without_gil, sites=[hogs_gil_of_selector], needs="gil"),
    Kind("callbacks", ["many_callbacks"], gets_many_callbacks, sites=[short_callback]),
]


def lines_of(function):
    """The lines accepted as the location in this function."""
    first = function.__code__.co_firstlineno
    with open(__file__) as file:
        text = file.read().split("\n")
    last = first
    while last < len(text) and (not text[last] or text[last].startswith(" ")):
        last += 1
    lines = list(range(first, last + 1))
    return [line for line in lines if "# site" in text[line - 1]] or lines


def sites_of(kind):
    return [{"function": site.__name__, "file": __file__, "lines": lines_of(site)} for site in kind.sites]
