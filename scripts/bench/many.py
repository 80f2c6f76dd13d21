"""`many.py COUNT DEPTH [own|shared]`: a program with COUNT suspended tasks, each DEPTH coroutines deep.

Each task awaits its own future, or all await the same one. Prints `ready PID` when all tasks wait, and exits when stdin
closes, so that it cannot outlive the process that started it.
"""

import asyncio
import os
import sys


async def level(left, future):
    if left:
        await level(left - 1, future)
    else:
        await future


async def main(count, depth, futures):
    loop = asyncio.get_running_loop()
    gates = [loop.create_future() for _ in range(1 if futures == "shared" else count)]
    # Keep references to the tasks, so that none of them is an orphan.
    tasks = [loop.create_task(level(depth - 1, gates[i % len(gates)])) for i in range(count)]
    # The ready queue is first in, first out, so every task has taken its first step before this sleep ends.
    await asyncio.sleep(0)
    print("ready", os.getpid(), flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    for gate in gates:
        gate.set_result(None)
    await asyncio.wait(tasks)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "own"))
