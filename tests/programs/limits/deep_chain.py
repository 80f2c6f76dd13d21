"""`deep_chain.py FILE LEVELS`: a task whose coroutines wait for each other, as many levels deep, until stdin closes."""

import asyncio
import sys

sys.setrecursionlimit(10**6)


async def level(left):
    if left:
        await level(left - 1)
    else:
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(level(int(sys.argv[2])))
