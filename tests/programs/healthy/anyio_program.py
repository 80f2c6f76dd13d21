"""anyio on asyncio: task groups, a limiter and a pool of threads that are always in use, calls from threads into the loop, streams
of objects, a lock, a semaphore, a condition and time limits, and a second loop in a thread (a blocking portal)."""
# packages: anyio
import threading
import time

import anyio
import anyio.from_thread
import anyio.to_thread

import pulse

counts = pulse.counts


async def groups():
    while True:
        async with anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(anyio.sleep, 0.004 * number)
        counts["group"] += 1


async def nested_groups():
    async def child(task_status):
        task_status.started()
        await anyio.sleep(0.01)

    async def starts(*, task_status):
        await child(task_status)

    while True:
        async with anyio.create_task_group() as group:
            await group.start(starts)
            with anyio.move_on_after(0.005):
                await anyio.sleep(1)
        counts["nested_group"] += 1


async def in_threads():
    while True:
        await anyio.to_thread.run_sync(time.sleep, 0.01)
        counts["to_thread"] += 1


async def limited_threads(limiter, seconds):
    while True:
        await anyio.to_thread.run_sync(time.sleep, seconds, limiter=limiter)
        counts["limited"] += 1


async def from_threads():
    def work():
        anyio.from_thread.run(anyio.sleep, 0.005)
        anyio.from_thread.run_sync(len, "")

    while True:
        await anyio.to_thread.run_sync(work)
        counts["from_thread"] += 1


async def sends(stream, seconds):
    while True:
        await stream.send(1)
        await anyio.sleep(seconds)


async def receives(stream, seconds, name):
    async for _ in stream:
        counts[name] += 1
        await anyio.sleep(seconds)


async def locked(lock):
    while True:
        async with lock:
            await anyio.sleep(0.003)
        counts["lock"] += 1


async def permitted(semaphore):
    while True:
        async with semaphore:
            await anyio.sleep(0.2)
        counts["semaphore"] += 1


async def fills(condition, items):
    while True:
        await anyio.sleep(0.02)
        async with condition:
            items.append(1)
            condition.notify()


async def takes(condition, items):
    while True:
        async with condition:
            while not items:
                await condition.wait()
            items.pop()
        counts["condition"] += 1


def uses_portal():
    async def answers():
        await anyio.sleep(0.01)
        return 7

    with anyio.from_thread.start_blocking_portal() as portal:
        portal.start_task_soon(pulse.beat)
        while True:
            assert portal.call(answers) == 7
            counts["portal"] += 1


async def main():
    anyio.to_thread.current_default_thread_limiter().total_tokens = 4
    limiter, lock, semaphore, condition, items = anyio.CapacityLimiter(2), anyio.Lock(), anyio.Semaphore(3), anyio.Condition(), []
    full, empty = anyio.create_memory_object_stream(2), anyio.create_memory_object_stream(2)
    threading.Thread(target=uses_portal, name="uses_portal", daemon=True).start()
    async with anyio.create_task_group() as group:
        start = group.start_soon
        for endless in (pulse.beat, groups, nested_groups, from_threads, from_threads, *[in_threads] * 6):
            start(endless)
        for number in range(6):
            start(limited_threads, limiter, 0.005 + 0.005 * number)
            start(permitted, semaphore)
        for _ in range(4):
            start(locked, lock)
        for _ in range(3):
            start(sends, full[0], 0)
            start(sends, empty[0], 0.05)
        start(receives, full[1], 0.01, "full_stream")
        start(receives, empty[1], 0, "empty_stream")
        start(fills, condition, items)
        start(takes, condition, items)
        start(takes, condition, items)
        await anyio.sleep(0.2)
        pulse.ready()


anyio.run(main, backend_options={"use_uvloop": pulse.asked_for("uvloop")})
