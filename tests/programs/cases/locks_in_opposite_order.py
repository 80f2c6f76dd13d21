"""Two tasks take two locks in opposite order, and the program never ends."""
import asyncio


async def transfer(first, second):
    async with first:
        await asyncio.sleep(0.1)
        async with second:
            pass


async def main():
    here, there = asyncio.Lock(), asyncio.Lock()
    print("ready", flush=True)
    await asyncio.gather(transfer(here, there), transfer(there, here))


asyncio.run(main())
