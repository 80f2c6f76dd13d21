"""`moving.py COUNT DEPTH MOVING`: a program with COUNT tasks, each DEPTH coroutines deep. MOVING of them run ten times per
second; the others stay suspended.

A tenth of the tasks that run finish and are replaced by new ones. Prints `ready PID` when all tasks wait, and exits when stdin
closes.
"""

import asyncio
import os
import sys

DEPTH = int(sys.argv[2])
GATES = []


async def level(left):
    if left:
        await level(left - 1)
        return
    loop = asyncio.get_running_loop()
    for _ in range(10):
        gate = loop.create_future()
        GATES.append(gate)
        await gate


async def main(count, moving):
    loop = asyncio.get_running_loop()
    tasks = {loop.create_task(level(DEPTH - 1)) for _ in range(count)}
    await asyncio.sleep(0)
    print("ready", os.getpid(), flush=True)
    loop.add_reader(0, lambda: os._exit(0))
    at = 0
    while True:
        await asyncio.sleep(0.1)
        if moving:
            # The oldest first, which are spread over the whole heap.
            batch, GATES[:moving] = GATES[:moving], []
            for gate in batch:
                gate.set_result(None)
            await asyncio.sleep(0)
            tasks = {task for task in tasks if not task.done()}
            tasks |= {loop.create_task(level(DEPTH - 1)) for _ in range(count - len(tasks))}
        at += 1


asyncio.run(main(int(sys.argv[1]), int(sys.argv[3])))
