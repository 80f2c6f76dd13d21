"""`chaos.py FILE SEED`: everything that makes a process hard to watch, with answers that are known.

Runs jobs in rounds, some of them together, as SEED says: tasks, threads, forks, subprocesses, signals, blocking calls, garbage.
Between rounds it replaces itself with `execv` and goes on under the same process id. Writes how it fares to FILE every 50 ms.
Ends when stdin closes or it is told to by SIGINT, SIGTERM or SIGHUP; prints its verdict, and exits with 7.
"""

import asyncio
import collections
import concurrent.futures
import faulthandler
import gc
import json
import os
import queue
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings

FILE, SEED = sys.argv[1], int(sys.argv[2])
HANDED_OVER = "CHAOS_HANDED_OVER"
STATUS = 7
# What has not happened by then never will.
PATIENCE = 20
RECEIVED, WAITED_FOR = signal.SIGRTMIN + 3, signal.SIGRTMIN + 4
ENDS = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}

before = json.loads(os.environ.pop(HANDED_OVER, "{}"))
generation, beat = before.get("generation", 0), before.get("beat", 0)
done, wrong = collections.Counter(before.get("done", {})), before.get("wrong", [])
running = []
random = random.Random("%d/%d" % (SEED, generation))
arrived = threading.Event()
pool = concurrent.futures.ThreadPoolExecutor(6)


def expect(what, got, wanted):
    if got != wanted:
        wrong.append("%s: %r instead of %r" % (what, got, wanted))


def in_thread(function, *arguments):
    return asyncio.get_running_loop().run_in_executor(pool, function, *arguments)


# Tasks


async def queues():
    jobs, results = asyncio.Queue(3), []

    async def works():
        while True:
            results.append(await jobs.get())
            await asyncio.sleep(random.choice([0, 0.001]))
            jobs.task_done()

    workers = [asyncio.ensure_future(works()) for _ in range(3)]
    for number in range(40):
        await jobs.put(number)
    await jobs.join()
    for worker in workers:
        worker.cancel()
    ends = await asyncio.gather(*workers, return_exceptions=True)
    expect("sum of a queue", sum(results), sum(range(40)))
    expect("cancelled workers", [type(end) for end in ends], [asyncio.CancelledError] * 3)


async def locks():
    lock, permits, value, inside = asyncio.Lock(), asyncio.Semaphore(2), 0, 0

    async def adds():
        nonlocal value, inside
        async with permits:
            inside += 1
            expect("more than two permits", inside <= 2, True)
            async with lock:
                found = value
                await asyncio.sleep(0)
                value = found + 1
            inside -= 1

    await asyncio.gather(*[adds() for _ in range(30)])
    expect("counted under a lock", value, 30)


async def gathers():
    async def ends(number):
        await asyncio.sleep(0.001 * (number % 3))
        if number % 4 == 0:
            raise ValueError(number)
        return number

    results = await asyncio.gather(*[ends(number) for number in range(20)], return_exceptions=True)
    got = [-one.args[0] if isinstance(one, ValueError) else one for one in results]
    expect("gathered", got, [-number if number % 4 == 0 else number for number in range(20)])


async def cancels():
    cleaned = []

    async def waits(number):
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            cleaned.append(number)

    tasks = [asyncio.ensure_future(waits(number)) for number in range(15)]
    await asyncio.sleep(random.choice([0, 0.005]))
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    expect("cancelled", [task.cancelled() for task in tasks], [True] * 15)
    expect("cleaned up", len(cleaned), 15)


async def orphans():
    async def waits_for_nobody():
        await asyncio.get_running_loop().create_future()

    for _ in range(10):
        asyncio.ensure_future(waits_for_nobody())
    await asyncio.sleep(0.002)


async def nests():
    async def nested(depth):
        if depth == 0:
            await asyncio.sleep(0.003)
            return 0
        return 1 + await nested(depth - 1)

    depth = random.randrange(20, 150)
    expect("nested coroutines", await nested(depth), depth)


# Python code


async def recursion():
    def depth_of(left):
        return 0 if left == 0 else 1 + depth_of(left - 1)

    depth = random.randrange(200, 700)
    for _ in range(20):
        expect("recursion", depth_of(depth), depth)


async def exceptions():
    def fails(depth):
        if depth == 0:
            raise KeyError("below")
        try:
            fails(depth - 1)
        except LookupError as error:
            raise KeyError("depth %d" % depth) from error

    causes = 0
    try:
        fails(40)
    except KeyError as error:
        while error.__cause__ is not None:
            error, causes = error.__cause__, causes + 1
    expect("causes of an exception", causes, 40)


async def garbage():
    gc.collect()
    gc.disable()
    for _ in range(300):
        cycle = [None]
        cycle[0] = cycle
    del cycle
    found = gc.collect()
    gc.enable()
    expect("garbage found", found >= 300, True)


# Threads, processes, signals, blocking calls


def takes_at_least(what, seconds, function, *arguments):
    begun = time.monotonic()
    result = function(*arguments)
    expect("%s too short" % what, time.monotonic() - begun >= seconds - 0.001, True)
    return result


async def blocks():
    takes_at_least("sleep", 0.03, time.sleep, 0.03)
    expect("select", takes_at_least("select", 0.02, select.select, [], [], [], 0.02), ([], [], []))


async def threads():
    numbers, sums = queue.Queue(), queue.Queue()

    def sums_up():
        total = 0
        while True:
            number = numbers.get(timeout=PATIENCE)
            if number is None:
                return sums.put(total)
            total += number

    def starts_and_joins():
        started = [threading.Thread(target=sums_up) for _ in range(5)]
        for thread in started:
            thread.start()
        for number in list(range(500)) + [None] * 5:
            numbers.put(number)
        for thread in started:
            thread.join()

    await in_thread(starts_and_joins)
    expect("sum of threads", sum(sums.get_nowait() for _ in range(5)), sum(range(500)))


async def other_loop():
    async def adds():
        await asyncio.sleep(0.02)
        return sum(await asyncio.gather(*[asyncio.sleep(0.001, number) for number in range(9)]))

    expect("another loop", await in_thread(lambda: asyncio.run(adds())), 36)


def lives_for_a_moment(with_loop):
    if with_loop:
        asyncio._set_running_loop(None)
        asyncio.new_event_loop().run_until_complete(asyncio.sleep(0.15))
    time.sleep(0.02)
    os._exit(33)


async def forks():
    with_loop = random.random() < 0.4
    child = os.fork()
    if child == 0:
        lives_for_a_moment(with_loop)
    expect("end of a fork", await in_thread(os.waitpid, child, 0), (child, 33 << 8))


async def subprocesses():
    command = [sys.executable, "-S", "-c", "print(6 * 7)"]
    if random.random() < 0.5:
        child = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        output, _ = await child.communicate()
        code = child.returncode
    else:
        ended = await in_thread(lambda: subprocess.run(command, stdout=subprocess.PIPE))
        output, code = ended.stdout, ended.returncode
    expect("a subprocess", (output, code), (b"42\n", 0))


async def signals():
    """One after the other: Python's own handlers merge signals that come together."""

    def sends():
        for _ in range(10):
            arrived.clear()
            signal.pthread_kill(threading.main_thread().ident, RECEIVED)
            expect("a signal arrived", arrived.wait(PATIENCE), True)

    await in_thread(sends)


async def queued_signals():
    """Each of several real-time signals that wait together is delivered."""

    def sends_and_waits():
        signal.pthread_sigmask(signal.SIG_BLOCK, {WAITED_FOR})
        for _ in range(6):
            signal.pthread_kill(threading.get_ident(), WAITED_FOR)
        time.sleep(0.01)
        for _ in range(6):
            found = signal.sigtimedwait({WAITED_FOR}, PATIENCE)
            expect("a queued signal", found and found.si_signo, WAITED_FOR)
        # Not sigtimedwait, of which EINTR at the end of its time makes CPython return memory that nobody has set.
        expect("signals too many", signal.sigpending() & {WAITED_FOR}, set())

    await in_thread(sends_and_waits)


async def interrupted_calls():
    """Calls that a stop can end with EINTR return what they should."""

    def waits():
        left, right = socket.socketpair()
        with left, right:
            left.settimeout(PATIENCE)
            answer = threading.Timer(0.03, right.sendall, [b"answer"])
            answer.start()
            expect("recv", left.recv(10), b"answer")
            answer.join()
            poll = select.poll()
            poll.register(left, select.POLLIN)
            expect("poll", takes_at_least("poll", 0.03, poll.poll, 30), [])
        expect("wait", takes_at_least("wait", 0.03, threading.Event().wait, 0.03), False)
        takes_at_least("sleep", 0.03, time.sleep, 0.03)

    await in_thread(waits)


JOBS = [
    queues, locks, gathers, cancels, orphans, nests, recursion, exceptions, garbage, blocks, threads, other_loop, forks,
    subprocesses, signals, queued_signals, interrupted_calls,
]


# The program


def says():
    said = {
        "pid": os.getpid(), "generation": generation, "beat": beat, "done": done, "running": running, "wrong": wrong,
    }
    with open(FILE + ".new", "w") as file:
        json.dump(said, file)
    os.replace(FILE + ".new", FILE)
    return said


async def beats():
    global beat
    while True:
        beat += 1
        says()
        await asyncio.sleep(0.05)


async def runs(job):
    running.append(job.__name__)
    try:
        await job()
    except Exception as error:
        wrong.append("%s: %r" % (job.__name__, error))
    running.remove(job.__name__)
    done[job.__name__] += 1


def executes_itself():
    """In the main thread or in another one, which the kernel then makes the main thread. Requests to end wait meanwhile."""
    handed_over = {"generation": generation + 1, "beat": beat, "done": done, "wrong": wrong}
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
    os.environ[HANDED_OVER] = json.dumps(handed_over)
    arguments = sys.executable, [sys.executable] + sys.argv
    if random.random() < 0.5:
        os.execv(*arguments)
    thread = threading.Thread(target=os.execv, args=arguments)
    thread.start()
    thread.join()


def receives(number, frame):
    arrived.set()


def told_to_end(ended):
    """Told by signals from now on, and by the end of stdin."""
    loop = asyncio.get_running_loop()

    def is_told(*_):
        loop.call_soon_threadsafe(ended.set)

    def reads():
        while os.read(0, 1):
            pass
        is_told()

    for number in ENDS:
        signal.signal(number, is_told)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDS)
    threading.Thread(target=reads, daemon=True).start()


async def main():
    ended = asyncio.Event()
    signal.signal(RECEIVED, receives)
    told_to_end(ended)
    # Orphans are destroyed while they wait, which is what they are for.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    heart = asyncio.ensure_future(beats())
    await asyncio.sleep(0)
    if generation == 0:
        print("ready", flush=True)
    while not ended.is_set():
        await asyncio.gather(*[runs(job) for job in random.sample(JOBS, random.randrange(1, 6))])
        if random.random() < 0.12 and not ended.is_set():
            executes_itself()
    heart.cancel()


warnings.simplefilter("ignore")
faulthandler.enable()
asyncio.run(main())
pool.shutdown()
print(json.dumps(says()), flush=True)
sys.exit(STATUS)
