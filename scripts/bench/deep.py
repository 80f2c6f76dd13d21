"""`deep.py FRAMES`: an event loop that computes in one task forever, with a constant stack of FRAMES frames.

The stack consists of the event loop's own frames, nested coroutines and the function that computes. Prints `ready PID`, and
exits when stdin closes.
"""

import asyncio
import os
import sys
import threading


async def level(left):
    if left:
        await level(left - 1)
    else:
        compute()


def compute():
    frames, frame = 0, sys._getframe()
    while frame:
        frames, frame = frames + 1, frame.f_back
    if frames != int(sys.argv[1]):
        sys.exit("deep.py: %d frames" % frames)
    print("ready", os.getpid(), flush=True)
    total = 0
    while True:
        total = (total + 1) % 1000


def end_with_stdin():
    os.read(0, 1)
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_stdin, daemon=True).start()
    # <module>, run_until_complete, run_forever, _run_once, Handle._run, and compute below the coroutines.
    asyncio.new_event_loop().run_until_complete(level(int(sys.argv[1]) - 7))
