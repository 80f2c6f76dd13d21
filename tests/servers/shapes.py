"""The tasks that real servers have beside their requests, the same for every framework, and what requests wait for.

Works on Python 3.8 and later.
"""

import asyncio
import json
import os
import sys
import threading


async def heartbeat():
    """A background task that the application holds."""
    while True:
        await asyncio.sleep(0.05)


async def refresh_cache():
    """The task of a lifespan: started and cancelled with the application."""
    await asyncio.sleep(3600)


async def hold_report_lock(state):
    async with state.report_lock:
        await state.report_done.wait()


async def wait_for_report_lock(state):
    async with state.report_lock:
        pass


async def forgotten():
    """Nobody but the event loop's timer knows the task that runs this."""
    await asyncio.sleep(3600)


class State:
    """What an application keeps. Made while the event loop runs."""

    def __init__(self):
        self.request_lock = asyncio.Lock()
        self.report_lock = asyncio.Lock()
        self.report_done = asyncio.Event()
        self.gate = asyncio.Event()
        self.job = threading.Event()
        self.in_flight = 0
        self.both_in_flight = asyncio.Event()
        self.served = 0
        loop = asyncio.get_event_loop()
        self.background = [
            loop.create_task(heartbeat()),
            loop.create_task(hold_report_lock(self)),
            loop.create_task(wait_for_report_lock(self)),
        ]

    async def serve(self):
        async with self.request_lock:
            await asyncio.sleep(0)
            self.served += 1
        return self.served

    def arrive(self):
        self.in_flight += 1
        if self.in_flight == 2:
            self.both_in_flight.set()

    async def wait_for_both(self):
        """Returns when one request waits at the gate and one for the job: neither lets others run between here and there."""
        await self.both_in_flight.wait()

    async def wait_at_gate(self):
        self.arrive()
        await self.gate.wait()

    async def run_job(self):
        self.arrive()
        await asyncio.get_event_loop().run_in_executor(None, self.job.wait)

    @staticmethod
    def forget():
        asyncio.get_event_loop().create_task(forgotten())

    def release(self):
        self.gate.set()
        self.job.set()


def announce(port):
    """Says where the server listens, and has it end when whoever started it does."""
    asyncio.get_event_loop().add_reader(0, os._exit, 0)
    with open(sys.argv[1], "w") as file:
        json.dump({"port": port, "pid": os.getpid()}, file)
    print("ready", flush=True)
