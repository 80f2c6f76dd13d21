"""Two tasks take two locks of anyio in opposite order."""
# packages: anyio
import anyio


async def transfer(first, second):
    async with first:
        await anyio.sleep(0.01)
        async with second:  # the line that waits
            pass


async def main():
    here, there = anyio.Lock(), anyio.Lock()
    async with anyio.create_task_group() as group:
        group.start_soon(transfer, here, there, name="ab")
        group.start_soon(transfer, there, here, name="ba")
        while not (here.statistics().tasks_waiting and there.statistics().tasks_waiting):
            await anyio.sleep(0.01)
        print("ready", flush=True)


anyio.run(main)
