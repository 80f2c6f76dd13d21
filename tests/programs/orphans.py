"""Fire and forget: tasks that nothing owns, suspended on every kind of awaitable."""

import asyncio
import contextvars
import functools
import os
import socket
import weakref

import oracle

UNREAD, UNWRITTEN = os.pipe()
variable = contextvars.ContextVar("variable")


async def sleeps():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def deep(depth):
    if depth:
        await deep(depth - 1)
    else:
        await sleeps()


async def on_future(future):
    oracle.waits("future")
    await future


async def on_own_future():
    oracle.waits("future")
    await asyncio.get_event_loop().create_future()


async def on(kind, awaitable):
    oracle.waits(kind)
    await awaitable


async def in_executor():
    oracle.waits("executor")
    await asyncio.get_event_loop().run_in_executor(None, os.read, UNREAD, 1)


async def on_socket(end):
    oracle.waits("socket")
    await asyncio.get_event_loop().sock_recv(end, 1)


async def awaits_child():
    oracle.waits("task", "child of an orphan")
    await oracle.asyncio.get_event_loop().create_task(named("child of an orphan"))


async def named(name):
    asyncio.current_task().set_name(name)
    oracle.label(name)
    await sleeps()


async def gathers():
    oracle.waits("gather", "gathered 1", "gathered 2")
    await asyncio.gather(named("gathered 1"), named("gathered 2"))


async def waits():
    first, second = [asyncio.ensure_future(named("waited %d" % number)) for number in (1, 2)]
    oracle.waits("wait", first, second)
    await asyncio.wait([first, second])


async def shields():
    oracle.waits("shield", "shielded")
    await asyncio.shield(named("shielded"))


async def wait_for():
    task = asyncio.ensure_future(named("waited for"))
    oracle.waits("task", task)
    await asyncio.wait_for(task, 3000)


async def knows_itself():
    itself = asyncio.current_task()
    await sleeps()
    return itself


async def knows_itself_in_a_list():
    itself = [asyncio.current_task()]
    await sleeps()
    return itself


async def knows_itself_in_a_context():
    variable.set(asyncio.current_task())
    await sleeps()


async def knows_itself_in_its_callback():
    task = asyncio.current_task()
    task.add_done_callback(functools.partial(print, task))
    del task
    await sleeps()


async def async_generator():
    async for _ in values():
        pass


async def values():
    await sleeps()
    yield 1


async def main():
    loop = asyncio.get_event_loop()
    lock, semaphore, condition = asyncio.Lock(), asyncio.Semaphore(1), asyncio.Condition()
    await lock.acquire()
    await semaphore.acquire()
    await condition.acquire()
    full, empty, event = asyncio.Queue(1), asyncio.Queue(), asyncio.Event()
    full.put_nowait(1)
    end, other_end = socket.socketpair()
    end.setblocking(False)
    future = loop.create_future()

    oracle.orphan(sleeps(), "sleep")
    oracle.orphan(deep(12), "deep sleep")
    oracle.orphan(on_future(future), "future that somebody holds")
    oracle.orphan(on_future(future), "same future")
    oracle.orphan(on_own_future(), "future that nobody holds")
    oracle.orphan(on("event", event.wait()), "event")
    oracle.orphan(on("queue_get", empty.get()), "queue get")
    oracle.orphan(on("queue_put", full.put(2)), "queue put")
    oracle.orphan(on("lock", lock.acquire()), "lock")
    oracle.orphan(on("semaphore", semaphore.acquire()), "semaphore")
    oracle.orphan(in_executor(), "executor")
    oracle.orphan(on_socket(end), "socket")
    oracle.orphan(async_generator(), "async generator")
    oracle.orphan(awaits_child(), "awaits a child")
    oracle.orphan(gathers(), "gathers")
    oracle.orphan(waits(), "waits")
    oracle.orphan(shields(), "shields")
    oracle.orphan(wait_for(), "wait_for")
    oracle.orphan(knows_itself(), "knows itself")
    # Cycles through objects that an external reader need not follow.
    oracle.orphan(knows_itself_in_a_list(), "knows itself in a list", may_miss=True)
    oracle.orphan(knows_itself_in_a_context(), "knows itself in a context", may_miss=True)
    oracle.orphan(knows_itself_in_its_callback(), "knows itself in its callback", may_miss=True)

    seen = weakref.WeakSet()
    task = loop.create_task(sleeps())
    seen.add(task)
    oracle.expect(task, orphaned=True)
    task.set_name("in a weak set")
    del task

    oracle.until(lambda: len(oracle.threading.enumerate()) == 2)
    oracle.loose_thread("ThreadPoolExecutor")
    oracle.loose_thread("asyncio_")
    await oracle.park(findings=["orphaned-task"])
    del other_end, seen, event


oracle.run(main)
