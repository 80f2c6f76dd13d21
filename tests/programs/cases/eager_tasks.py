"""Children block in their eager first step, inside the frames of their parent."""
# needs: 3.12
import asyncio
import sys
import time


async def child():
    # Some versions name an eager task only after its first step.
    asyncio.current_task().set_name("child")
    time.sleep(0.4)  # the line that blocks
    await asyncio.sleep(0.2)


async def parent():
    while True:
        await asyncio.create_task(child())


async def main():
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
    print("ready", flush=True)
    await asyncio.create_task(parent(), name="parent")


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
