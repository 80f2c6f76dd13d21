"""Each stall is 400 ms of the program's own processor time, and two other processes compete for its core."""
import asyncio
import os
import subprocess
import sys
import time

HOG = "import os\nprint(flush=True)\nwhile os.getppid() == PARENT: pass"


def render():
    end = time.thread_time() + 0.4
    while time.thread_time() < end:
        sum(range(500))  # the line that computes


async def main():
    for _ in range(4):
        await asyncio.sleep(0.2)
        render()


os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
hog = [sys.executable, "-c", HOG.replace("PARENT", str(os.getpid()))]
hogs = [subprocess.Popen(hog, stdout=subprocess.PIPE) for _ in range(2)]
for process in hogs:
    process.stdout.readline()
print("ready", flush=True)
asyncio.run(main())
for process in hogs:
    process.kill()
