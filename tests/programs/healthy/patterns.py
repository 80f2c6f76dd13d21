"""Everything of a guide to asyncio at once, all of it healthy: locks, semaphores, queues and pools that are always in use, threads
and two loops that call each other, streams, tasks that come and go. With `compute`, a thread also computes half of
the time. No callback takes longer than 2 ms."""
import asyncio
import concurrent.futures
import contextvars
import hashlib
import os
import signal
import sys
import threading
import time

import pulse

counts = pulse.counts
request_id = contextvars.ContextVar("request_id", default=0)


async def io(seconds, value=None):
    await asyncio.sleep(seconds)
    return value


# Awaiting several


async def gathers():
    while True:
        assert len(await asyncio.gather(*(io(0.002 * i, i) for i in range(10)))) == 10
        counts["gather"] += 1
        await asyncio.sleep(0.02)


async def completes():
    while True:
        for one in asyncio.as_completed([io(0.003 * i, i) for i in range(6)]):
            await one
        counts["as_completed"] += 1


async def waits():
    loop = asyncio.get_running_loop()
    while True:
        tasks = [loop.create_task(io(0.02 + 0.02 * i)) for i in range(4)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        counts["wait"] += len(done)


async def groups():
    while True:
        async with asyncio.TaskGroup() as group:
            for i in range(6):
                group.create_task(io(0.005 * i), name=f"member-{i}")
        counts["task_group"] += 1


async def failing_groups():
    async def fails():
        await asyncio.sleep(0.005)
        raise ValueError("expected")

    while True:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(fails())
                group.create_task(io(1))
        except BaseException as error:
            assert type(error).__name__ == "ExceptionGroup", error
        counts["failing_group"] += 1
        await asyncio.sleep(0.02)


async def timeouts():
    while True:
        try:
            await asyncio.wait_for(io(1), 0.02)
        except asyncio.TimeoutError:
            counts["wait_for"] += 1
        if sys.version_info >= (3, 11):
            try:
                async with asyncio.timeout(0.02):
                    await io(1)
            except TimeoutError:
                counts["timeout"] += 1


# Bounded concurrency, locks and what is like them: each always in use, and always moving


async def limited(semaphore, seconds, name):
    while True:
        async with semaphore:
            await asyncio.sleep(seconds)
        counts[name] += 1


async def locked(lock, seconds, name):
    while True:
        async with lock:
            await asyncio.sleep(seconds)
        counts[name] += 1


async def locked_in_order(outer, inner):
    while True:
        async with outer:
            await asyncio.sleep(0.002)
            async with inner:
                await asyncio.sleep(0.002)
        counts["locks_in_order"] += 1


async def meets(barrier):
    while True:
        await barrier.wait()
        await asyncio.sleep(0.02)
        counts["barrier"] += 1


class Stock:
    def __init__(self):
        self.items, self.changed = 0, asyncio.Condition()

    async def fill(self):
        while True:
            await asyncio.sleep(0.01)
            async with self.changed:
                self.items += 2
                self.changed.notify_all()

    async def take(self):
        while True:
            async with self.changed:
                await self.changed.wait_for(lambda: self.items > 0)
                self.items -= 1
            counts["condition"] += 1


class Gate:
    def __init__(self):
        self.opened = asyncio.Event()

    async def open(self):
        while True:
            await asyncio.sleep(0.02)
            self.opened.set()
            await asyncio.sleep(0)
            self.opened.clear()

    async def enter(self):
        while True:
            await self.opened.wait()
            counts["event"] += 1
            await asyncio.sleep(0.001)


async def produces(queue, seconds):
    while True:
        await queue.put(time.monotonic())
        await asyncio.sleep(seconds)


async def consumes(queue, seconds, name):
    while True:
        await queue.get()
        await asyncio.sleep(seconds)
        queue.task_done()
        counts[name] += 1


async def joins():
    queue = asyncio.Queue()
    pulse.start(consumes(queue, 0.001, "joined"))
    while True:
        for i in range(5):
            queue.put_nowait(i)
        await queue.join()
        await asyncio.sleep(0.01)


# Generators, contexts, and the lives of tasks


async def ticks(count):
    try:
        for i in range(count):
            yield i
            await asyncio.sleep(0.002)
    finally:
        await asyncio.sleep(0)


async def generates():
    while True:
        async for _ in ticks(5):
            pass
        early = ticks(5)
        async for _ in early:
            break
        await early.aclose()
        counts["async_generator"] += 1
        await asyncio.sleep(0.01)


async def carries_context():
    async def child(expected):
        await asyncio.sleep(0.003)
        assert request_id.get() == expected

    number = 0
    while True:
        number += 1
        request_id.set(number)
        await asyncio.gather(*(asyncio.create_task(child(number)) for _ in range(4)))
        counts["contextvars"] += 1
        await asyncio.sleep(0.01)


async def churns():
    async def short():
        await asyncio.sleep(0)

    loop = asyncio.get_running_loop()
    while True:
        await asyncio.gather(*[loop.create_task(short()) for _ in range(10)])
        counts["churn"] += 10
        await asyncio.sleep(0.01)


async def starts_eagerly():
    async def at_once():
        return 1

    loop = asyncio.get_running_loop()
    while True:
        tasks = [asyncio.eager_task_factory(loop, coroutine) for coroutine in (at_once(), io(0.005), at_once(), io(0.01))]
        await asyncio.gather(*tasks)
        counts["eager"] += 1
        await asyncio.sleep(0.02)


async def cancels():
    async def cleans_up():
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0.005)

    while True:
        task = asyncio.create_task(cleans_up())
        await asyncio.sleep(0.005)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            counts["cancelled"] += 1


async def shields():
    while True:
        inner = asyncio.ensure_future(io(0.04, "done"))
        try:
            await asyncio.wait_for(asyncio.shield(inner), 0.01)
        except asyncio.TimeoutError:
            pass
        assert await inner == "done"
        counts["shield"] += 1


# Threads and pools


def read_file():
    with open(__file__, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def job(seconds):
    read_file()
    time.sleep(seconds)


async def runs_jobs(pool, number, name):
    loop = asyncio.get_running_loop()
    while True:
        for seconds in (0.005, 0.05, 0.02, 0.01):
            await loop.run_in_executor(pool, job, seconds + number / 1000)
            counts[name] += 1


async def runs_in_threads():
    while True:
        await asyncio.to_thread(job, 0.02)
        counts["to_thread"] += 1


async def resolves():
    while True:
        await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        counts["getaddrinfo"] += 1
        await asyncio.sleep(0.05)


def calls_from_thread(loop):
    """Waits in a thread for coroutines of a loop."""
    while True:
        assert asyncio.run_coroutine_threadsafe(io(0.01, 7), loop).result() == 7
        counts["run_coroutine_threadsafe"] += 1


def wakes_from_thread(loop):
    def woken():
        counts["call_soon_threadsafe"] += 1

    while True:
        for _ in range(3):
            loop.call_soon_threadsafe(woken)
        time.sleep(0.004)


def answers_from_thread(loop, asked):
    """Sets the results of futures of the loop."""
    while True:
        with asked["changed"]:
            while not asked["futures"]:
                asked["changed"].wait()
            future = asked["futures"].pop()
        time.sleep(0.002)
        loop.call_soon_threadsafe(future.set_result, None)


async def asks_thread(loop):
    asked = {"futures": [], "changed": threading.Condition()}
    start_thread(answers_from_thread, loop, asked)
    while True:
        future = loop.create_future()
        # Held for a moment by the thread as well.
        await loop.run_in_executor(None, ask, asked, future)
        await future
        counts["future_from_thread"] += 1


def ask(asked, future):
    with asked["changed"]:
        asked["futures"].append(future)
        asked["changed"].notify()


def takes_locks(outer, inner):
    """Threads that take two locks, always in the same order."""
    while True:
        with outer:
            time.sleep(0.001)
            with inner:
                time.sleep(0.001)
        counts["thread_locks"] += 1
        time.sleep(0.006)


def start_thread(function, *arguments):
    threading.Thread(target=function, args=arguments, name=function.__name__, daemon=True).start()


async def awaits_other_loop(other):
    while True:
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(io(0.005), other))
        counts["other_loop"] += 1
        await asyncio.sleep(0.005)


async def blocks_worker_on_other_loop(pool, other):
    """A worker waits for the other loop; this loop turns meanwhile."""

    def wait():
        asyncio.run_coroutine_threadsafe(io(0.01), other).result()

    while True:
        await asyncio.get_running_loop().run_in_executor(pool, wait)
        counts["worker_and_other_loop"] += 1


def second_loop(first, started):
    async def main():
        pulse.start(pulse.beat())
        pulse.start(awaits_other_loop(first))
        pulse.start(blocks_worker_on_other_loop(concurrent.futures.ThreadPoolExecutor(1), first))
        started.set_result(asyncio.get_running_loop())
        await asyncio.Event().wait()

    loop = pulse.new_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(main())


def computes():
    while True:
        ends = time.perf_counter() + 0.02
        while time.perf_counter() < ends:
            sum(range(200))
        counts["compute"] += 1
        time.sleep(0.02)


# Streams and signals


async def echoes(reader, writer):
    while True:
        writer.write(await reader.readline())
        await writer.drain()


async def talks(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(b"hello\n")
        await writer.drain()
        assert await reader.readline() == b"hello\n"
        counts["stream"] += 1
        await asyncio.sleep(0.015)


async def connects(port):
    async def once():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        await reader.readline()
        return writer

    while True:
        (await once()).close()
        counts["connection"] += 1
        await asyncio.sleep(0.03)


async def closes(reader, writer):
    writer.write(await reader.readline())
    await reader.read()
    writer.close()


def heard():
    counts["signal"] += 1


def signals():
    while True:
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGUSR1)


async def main():
    loop, start = asyncio.get_running_loop(), pulse.start
    loop.set_default_executor(concurrent.futures.ThreadPoolExecutor(4))
    start(pulse.beat())
    for endless in (gathers, completes, waits, timeouts, joins, generates, carries_context, churns, cancels, shields, resolves):
        start(endless())
    if sys.version_info >= (3, 9):
        for _ in range(6):
            start(runs_in_threads())
    if sys.version_info >= (3, 11):
        barrier = asyncio.Barrier(3)
        for endless in (groups(), failing_groups(), *(meets(barrier) for _ in range(3))):
            start(endless)
    if sys.version_info >= (3, 12):
        start(starts_eagerly())

    short, long, lock, held_long = asyncio.Semaphore(3), asyncio.Semaphore(4), asyncio.Lock(), asyncio.Lock()
    outer, inner = asyncio.Lock(), asyncio.Lock()
    for _ in range(10):
        start(limited(short, 0.02, "short_semaphore"))
        start(limited(long, 0.5, "long_semaphore"))
    for _ in range(4):
        start(locked(lock, 0.004, "short_lock"))
        start(locked(held_long, 0.05, "long_lock"))
        start(locked_in_order(outer, inner))
    stock, gate = Stock(), Gate()
    for endless in (stock.fill(), stock.take(), stock.take(), stock.take(), gate.open(), gate.enter(), gate.enter()):
        start(endless)
    full, empty, priorities = asyncio.Queue(5), asyncio.Queue(5), asyncio.PriorityQueue(3)
    for _ in range(3):
        for endless in (produces(full, 0), consumes(full, 0.02, "full_queue")):
            start(endless)
        for endless in (produces(empty, 0.05), consumes(empty, 0, "empty_queue")):
            start(endless)
        for endless in (produces(priorities, 0.01), consumes(priorities, 0.01, "priority_queue")):
            start(endless)

    pool = concurrent.futures.ThreadPoolExecutor(3, thread_name_prefix="jobs")
    for number in range(12):
        start(runs_jobs(pool, number, "jobs"))
    start(asks_thread(loop))
    start_thread(calls_from_thread, loop)
    start_thread(wakes_from_thread, loop)
    locks = threading.Lock(), threading.Lock()
    start_thread(takes_locks, *locks)
    start_thread(takes_locks, *locks)
    if pulse.asked_for("compute"):
        start_thread(computes)

    started = concurrent.futures.Future()
    start_thread(second_loop, loop, started)
    other = await asyncio.wrap_future(started)
    start(awaits_other_loop(other))
    start(blocks_worker_on_other_loop(concurrent.futures.ThreadPoolExecutor(1), other))
    start_thread(calls_from_thread, other)

    echo = await asyncio.start_server(echoes, "127.0.0.1", 0)
    closing = await asyncio.start_server(closes, "127.0.0.1", 0)
    for _ in range(4):
        start(talks(echo.sockets[0].getsockname()[1]))
    start(connects(closing.sockets[0].getsockname()[1]))
    loop.add_signal_handler(signal.SIGUSR1, heard)
    start_thread(signals)

    await asyncio.sleep(0.2)
    pulse.ready()
    await asyncio.Event().wait()


pulse.run(main())
