"""The background tasks of a typical server and what its requests wait for, shared by all frameworks.

Runs on Python 3.8 and later.
"""

import asyncio
import json
import os
import sys
import threading


async def heartbeat():
    """A background task that the application references."""
    while True:
        await asyncio.sleep(0.05)


async def refresh_cache():
    """A lifespan task: started and cancelled with the application."""
    await asyncio.sleep(3600)


async def hold_report_lock(state):
    async with state.report_lock:
        await state.report_done.wait()


async def wait_for_report_lock(state):
    async with state.report_lock:
        pass


async def forgotten():
    """Run in a task that nothing but the event loop's timer references."""
    await asyncio.sleep(3600)


class State:
    """The application's state. Create it while the event loop runs."""

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
        """Returns once one request waits at the gate and one for the job: neither yields between arriving and waiting."""
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
    """Announces the server's port, and makes the server exit when stdin closes."""
    asyncio.get_event_loop().add_reader(0, os._exit, 0)
    with open(sys.argv[1], "w") as file:
        json.dump({"port": port, "pid": os.getpid()}, file)
    print("ready", flush=True)
