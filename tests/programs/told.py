"""told.py FILE SEED: at each line on stdin, a few random tasks start, advance, are renamed or end.

FILE contains `{"step": N}` once the changes for line N are done and all tasks wait again. Deterministic for a given seed."""

import asyncio
import json
import os
import random
import sys

SEED = int(sys.argv[2])
FIRST = 40
KEPT = []


class Told:
    def __init__(self):
        self.random = random.Random(SEED)
        self.loop = asyncio.get_event_loop()
        self.lock, self.event, self.queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue()
        self.gates = []
        self.count = 0

    async def down(self, depth, leaf):
        if depth:
            await self.down(depth - 1, leaf)
        else:
            await leaf()

    async def on_gates(self):
        """Advances from one future to the next, one level deeper each time."""
        for _ in range(3):
            gate = self.loop.create_future()
            self.gates.append(gate)
            await gate
        await self.on_gates()

    async def on_one_gate(self):
        gate = self.loop.create_future()
        self.gates.append(gate)
        await gate

    async def on_sleep(self):
        await asyncio.sleep(self.random.choice([3600, 7200.5]))

    async def on_lock(self):
        async with self.lock:
            await self.on_one_gate()

    async def on_event(self):
        await self.event.wait()

    async def on_queue(self):
        await self.queue.get()

    async def on_gather(self):
        await asyncio.gather(*[self.begin() for _ in range(self.random.randint(1, 3))])

    async def on_shield(self):
        await asyncio.shield(asyncio.gather(self.begin(), self.begin()))

    async def on_wait(self):
        await asyncio.wait([self.begin(), self.begin()], timeout=9000)

    async def on_task(self):
        await self.begin()

    async def on_as_completed(self):
        for one in asyncio.as_completed([self.begin(), self.begin()]):
            await one

    LEAVES = (on_gates, on_one_gate, on_one_gate, on_sleep, on_lock, on_event, on_queue)
    PARENTS = (on_gather, on_shield, on_wait, on_task, on_as_completed)

    def begin(self):
        kinds = self.PARENTS if self.random.random() < 0.25 else self.LEAVES
        leaf = self.random.choice(kinds)
        task = self.loop.create_task(self.down(self.random.randint(0, 5), lambda: leaf(self)))
        if self.random.random() < 0.5:
            self.count += 1
            task.set_name("told %d" % self.count)
        KEPT.append(task)
        return task

    def step(self):
        self.random.shuffle(self.gates)
        for _ in range(len(self.gates) // 3):
            gate = self.gates.pop()
            if not gate.done():
                gate.set_result(None)
        for _ in range(self.random.randint(0, 10)):
            self.begin()
        if self.random.random() < 0.3:
            self.event.set()
            self.event.clear()
        for _ in range(self.random.randint(0, 4)):
            self.queue.put_nowait(1)
        pending = [task for task in KEPT if not task.done()]
        for task in self.random.sample(pending, min(3, len(pending))):
            self.count += 1
            task.set_name("renamed %d" % self.count)
        for task in self.random.sample(pending, min(2, len(pending))):
            task.cancel()
        KEPT[:] = pending
        # Drop finished tasks, so that others can reuse their memory.
        for task in [task for task in KEPT if task.done()]:
            KEPT.remove(task)


def write(step):
    path = sys.argv[1]
    with open(path + ".new", "w") as file:
        json.dump({"step": step}, file)
    os.replace(path + ".new", path)


async def main():
    told = Told()
    for _ in range(FIRST):
        told.begin()
    heard, heard_of = asyncio.Event(), []

    def hear():
        data = os.read(0, 4096)
        if not data:
            os._exit(0)
        heard_of.extend(data.count(b"\n") * [None])
        heard.set()

    told.loop.add_reader(0, hear)
    steps = 0
    while True:
        for _ in range(50):
            await asyncio.sleep(0)
        told.loop.call_later(0, write, steps)
        if not steps:
            told.loop.call_later(0.001, lambda: print("ready", flush=True))
        while not heard_of:
            heard.clear()
            await heard.wait()
        heard_of.pop(0)
        steps += 1
        told.step()


asyncio.run(main())
