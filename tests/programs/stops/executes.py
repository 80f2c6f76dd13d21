"""executes.py FILE [COUNT]: executes itself again and again from a thread that is not the first, beside many others. Prints `ready`
once and writes to FILE how often it has executed itself; each of its lives runs an event loop."""

import asyncio
import os
import sys
import threading
import time

THREADS = 30

count = int(sys.argv[2]) if len(sys.argv) > 2 else 0


def execute():
    time.sleep(0.02)
    os.execv(sys.executable, [sys.executable, sys.argv[0], sys.argv[1], str(count + 1)])


async def main():
    await asyncio.sleep(1000)


with open(sys.argv[1], "w") as file:
    file.write(str(count))
for _ in range(THREADS):
    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
threading.Thread(target=execute).start()
if count == 0:
    print("ready", flush=True)
asyncio.run(main())
