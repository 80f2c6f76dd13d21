"""A loop that is always busy, for a test that stops the process."""
import asyncio


async def compute():
    while True:
        for _ in range(100):
            sum(range(1000))
        await asyncio.sleep(0)


async def main():
    task = asyncio.create_task(compute(), name="cpu")
    print("ready", flush=True)
    await task


asyncio.run(main())
