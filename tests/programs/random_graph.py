"""random_graph.py FILE SEED: a random graph of tasks, the same for the same seed on every interpreter.

Each task descends a random path of coroutines, async generators, generators and awaitables, and then waits for a sleep,
a future, a synchronisation primitive or other tasks, directly or through gather, shield and wait. Some tasks are owned,
some are awaited by several others, some are orphans."""

import asyncio
import random
import sys
import types

import oracle

ROOTS = 14
MAX_PATH = 7
MAX_GENERATIONS = 4


class Graph:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.count = 0
        self.shared = []  # owned tasks that several others may await
        self.lock, self.semaphore = asyncio.Lock(), asyncio.Semaphore(2)
        self.event, self.condition = asyncio.Event(), asyncio.Condition()
        self.empty, self.full = asyncio.Queue(), asyncio.Queue(1)
        self.full.put_nowait(None)
        self.future = asyncio.get_event_loop().create_future()

    def name(self):
        self.count += 1
        return "%s %d" % (self.random.choice(["worker", "\u5de5", "reader\n", "x" * 70]), self.count)

    # --- the ends of a path ---

    async def sleep(self):
        oracle.waits("sleep")
        await asyncio.sleep(self.random.choice([3600, 7200.5]))

    async def on_future(self):
        oracle.waits("future")
        await self.future

    async def on_own_future(self):
        oracle.waits("future")
        await asyncio.get_event_loop().create_future()

    async def on_lock(self):
        oracle.waits("lock")
        async with self.lock:
            pass

    async def on_semaphore(self):
        oracle.waits("semaphore")
        await self.semaphore.acquire()

    async def on_event(self):
        oracle.waits("event")
        await self.event.wait()

    async def on_condition(self):
        await self.condition.acquire()
        oracle.waits("condition")
        await self.condition.wait()

    async def on_get(self):
        oracle.waits("queue_get")
        return await self.empty.get()

    async def on_put(self):
        oracle.waits("queue_put")
        await self.full.put(1)

    LEAVES = (sleep, on_future, on_own_future, on_lock, on_semaphore, on_event, on_condition, on_get, on_put)

    async def on_task(self, task):
        oracle.waits("task", task)
        await task

    async def on_gather(self, *tasks):
        oracle.waits("gather", *tasks)
        await asyncio.gather(*tasks)

    async def on_gathers(self, *tasks):
        oracle.waits("gather", *tasks)
        half = len(tasks) // 2
        await asyncio.gather(asyncio.gather(*tasks[:half]), asyncio.gather(*tasks[half:]))

    async def on_shield(self, task):
        oracle.waits("shield", task)
        await asyncio.shield(task)

    async def on_wait(self, *tasks):
        oracle.waits("wait", *tasks)
        await asyncio.wait(tasks)

    async def on_wait_for(self, task):
        oracle.waits("task", task)
        await asyncio.wait_for(task, 5000)

    def end(self, generation):
        """A coroutine for the end of a path; creates the tasks it awaits, or reuses shared ones."""
        if generation >= MAX_GENERATIONS or self.random.random() < 0.4:
            return self.random.choice(self.LEAVES)(self)
        kind = self.random.choice(
            [self.on_task, self.on_gather, self.on_gathers, self.on_shield, self.on_wait, self.on_wait_for]
        )
        if kind in (self.on_gather, self.on_wait):
            tasks = {self.child(generation): None for _ in range(self.random.randint(1, 4))}
        elif kind == self.on_gathers:
            tasks = {self.new_child(generation): None for _ in range(self.random.randint(2, 5))}
        else:
            tasks = {self.child(generation): None}
        return kind(*tasks)

    def child(self, generation):
        if self.shared and self.random.random() < 0.3:
            return self.random.choice(self.shared)
        return self.new_child(generation)

    def new_child(self, generation):
        if self.random.random() < 0.2:
            made = oracle.task(self.path(generation + 1), self.name())
            self.shared.append(made)
            return made
        # Only its awaiter will own it.
        return self.unowned(generation + 1, orphaned=False)

    def unowned(self, generation, **facts):
        made = asyncio.get_event_loop().create_task(self.path(generation))
        made.set_name(self.name())
        return oracle.expect(made, **facts)

    # --- the path ---

    def path(self, generation):
        """A coroutine that descends a random path."""
        inner = self.end(generation)
        for _ in range(self.random.randint(0, MAX_PATH)):
            inner = self.random.choice(self.STEPS)(self, inner)
        return self.coroutine(inner)

    async def coroutine(self, inner):
        return await inner

    async def in_a_with(self, inner):
        async with Manager(inner):
            pass

    async def in_a_for(self, inner):
        async for _ in self.values(inner):
            pass

    async def in_a_send(self, inner):
        values = self.values(inner)
        await values.__anext__()

    async def in_a_comprehension(self, inner):
        return [value async for value in self.values(inner)]

    async def in_a_try(self, inner):
        try:
            raise KeyError
        except KeyError:
            await inner

    async def values(self, inner):
        yield await inner

    @types.coroutine
    def generator(self, inner):
        return (yield from awaited(inner))

    def awaitable(self, inner):
        return Awaitable(inner)

    def wrapper(self, inner):
        return self.coroutine(Wrapped(self.coroutine(inner)))

    STEPS = (coroutine, in_a_with, in_a_for, in_a_send, in_a_comprehension, in_a_try, generator, awaitable, wrapper)


class Manager:
    def __init__(self, inner):
        self.inner = inner

    async def __aenter__(self):
        return await self.inner

    async def __aexit__(self, *error):
        pass


class Awaitable:
    def __init__(self, inner):
        self.inner = inner

    def __await__(self):
        return (yield from generator_of(self.inner))


@types.coroutine
def generator_of(inner):
    return (yield from awaited(inner))


def awaited(inner):
    """What `yield from` needs: for a coroutine, the wrapper that its `__await__` returns."""
    return inner.__await__() if hasattr(inner, "__await__") else inner


class Wrapped:
    def __init__(self, coroutine):
        self.coroutine = coroutine

    def __await__(self):
        return self.coroutine.__await__()


async def main():
    graph = Graph(int(sys.argv[2]))
    for lock in (graph.lock, graph.semaphore, graph.semaphore):
        await lock.acquire()
    for _ in range(ROOTS):
        if graph.random.random() < 0.3:
            graph.unowned(0, orphaned=True)
        else:
            oracle.task(graph.path(0), graph.name())
        if graph.random.random() < 0.3:
            await asyncio.sleep(0)
    await oracle.park()


oracle.run(main)
