"""Tasks repeat short waits at the same line: no wait lasts longer than 0.2 s."""
import asyncio
import sys


async def poller():
    while True:
        await asyncio.sleep(0.2)


async def event_user(events):
    while True:
        events[0] = asyncio.Event()
        await events[0].wait()


async def event_setter(events):
    while True:
        await asyncio.sleep(0.1)
        events[0].set()


async def consumer(queue):
    while True:
        await queue.get()


async def producer(queue):
    while True:
        await asyncio.sleep(0.15)
        queue.put_nowait(1)


async def parent():
    while True:
        await asyncio.create_task(asyncio.sleep(0.05), name="nap")


async def main():
    events, queue = [None], asyncio.Queue()
    coroutines = {
        "poller": poller(),
        "event_user": event_user(events),
        "event_setter": event_setter(events),
        "consumer": consumer(queue),
        "producer": producer(queue),
        "parent": parent(),
    }
    tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in coroutines.items()]
    print("ready", flush=True)
    await asyncio.gather(*tasks)


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
