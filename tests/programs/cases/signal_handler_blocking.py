"""A Python signal handler blocks for 0.7 s while the loop waits in its selector."""
import asyncio
import signal
import subprocess
import sys
import time


def reap(number, frame):
    if "cpu" in sys.argv:
        end = time.thread_time() + 0.7
        while time.thread_time() < end:
            for number in range(10_000): total = number * number % 7  # the line that computes
    elif "run" in sys.argv:
        subprocess.run(["sleep", "0.7"])  # the line that runs a program
    else:
        time.sleep(0.7)  # the line that sleeps


async def main():
    signal.signal(signal.SIGALRM, reap)
    signal.setitimer(signal.ITIMER_REAL, 0.5, 1.2)
    print("ready", flush=True)
    await asyncio.sleep(3600)


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
