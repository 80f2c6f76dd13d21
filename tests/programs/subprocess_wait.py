"""One task waits for a child process, another reads its output. The child exits when its stdin closes."""

import asyncio
import asyncio.subprocess

import oracle


async def waits(process):
    oracle.waits("subprocess")
    await process.wait()


async def reads(process):
    oracle.waits("socket")
    await process.stdout.readline()


async def main():
    process = await asyncio.create_subprocess_exec(
        "cat", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    oracle.task(waits(process), "waits")
    oracle.task(waits(process), "waits too")
    oracle.task(reads(process), "reads")
    oracle.loose_thread("waitpid-")
    oracle.loose_thread("asyncio-waitpid-")
    await oracle.park()


oracle.run(main)
