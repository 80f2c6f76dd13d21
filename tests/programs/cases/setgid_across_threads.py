"""A thread changes the group of all threads again and again, which the C library does with a real-time signal to each."""
import asyncio
import json
import os
import sys
import threading
import time

calls = 0


def changes_group():
    global calls
    while True:
        os.setgid(os.getgid())
        calls += 1
        time.sleep(0.0005)


async def main():
    for _ in range(8):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    threading.Thread(target=changes_group, daemon=True).start()
    print("ready", flush=True)
    while True:
        await asyncio.sleep(0.05)
        with open(sys.argv[1] + ".new", "w") as file:
            json.dump({"calls": calls}, file)
        os.replace(sys.argv[1] + ".new", sys.argv[1])


asyncio.run(main())
