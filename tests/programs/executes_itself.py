"""Executes itself again when it is told to."""

import asyncio
import json
import os
import sys

MARK = "EXECUTED"


async def main():
    await asyncio.sleep(0)
    if MARK in os.environ:
        with open(sys.argv[1] + ".new", "w") as file:
            json.dump({"step": 1}, file)
        os.rename(sys.argv[1] + ".new", sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()


asyncio.run(main())
os.environ[MARK] = "1"
os.execv(sys.executable, [sys.executable, *sys.argv])
