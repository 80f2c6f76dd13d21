"""first_thread_ends.py FILE: runs an event loop in a second thread, and ends the first one: the process is a zombie in /proc,
and lives. Prints `ready` before that. FILE is not written."""

import asyncio
import ctypes
import sys
import threading


async def main():
    await asyncio.sleep(1000)


thread = threading.Thread(target=lambda: asyncio.run(main()))
thread.start()
print("ready", flush=True)
# The thread's state stays, without the GIL: as if it were in a call that does not return.
sys.stdout.flush()
ctypes.CDLL(None).pthread_exit(None)
