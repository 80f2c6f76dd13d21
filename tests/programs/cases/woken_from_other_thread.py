"""A thread sets a future's result without `call_soon_threadsafe`: the loop sleeps on beside a callback that is ready."""
import asyncio
import sys
import threading


async def waiter(future):
    await future


def scheduler(future, waiting, asleep):
    waiting.wait()
    # The loop sleeps once the main thread is in the system call of its selector.
    while not asleep():
        pass
    future.set_result(1)
    print("ready", flush=True)
    threading.Event().wait()


def main_thread_sleeps():
    with open(f"/proc/self/task/{threading.main_thread().native_id}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "S"


async def main():
    future, waiting = asyncio.get_running_loop().create_future(), threading.Event()
    arguments = (future, waiting, main_thread_sleeps)
    threading.Thread(target=scheduler, args=arguments, daemon=True, name="scheduler").start()
    task = asyncio.create_task(waiter(future), name="waiter")
    # One callback more after this one, then the selector.
    asyncio.get_running_loop().call_soon(waiting.set)
    await task


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
