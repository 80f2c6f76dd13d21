"""A thread keeps the GIL in one C call of a second or more; the loop waits for the GIL."""
import asyncio
import sys


def keep_the_gil():
    while True:
        sum(range(60_000_000))  # the line that keeps the GIL


async def main():
    asyncio.get_running_loop().run_in_executor(None, keep_the_gil)
    print("ready", flush=True)
    while True:
        await asyncio.sleep(0.01)


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
