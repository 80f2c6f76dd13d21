"""Starts child processes all the time, in the way that asyncio means it: waits for some, and talks to others. asyncio starts them in
the thread of the event loop, which waits for a moment until the child executes its program."""
import asyncio

import pulse

counts = pulse.counts
PIPE = asyncio.subprocess.PIPE


async def waits():
    while True:
        child = await asyncio.create_subprocess_exec("sleep", "0.05")
        assert await child.wait() == 0
        counts["wait"] += 1
        await asyncio.sleep(0.1)


async def talks():
    while True:
        child = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        output, _ = await child.communicate(b"x" * 100_000)
        assert len(output) == 100_000
        counts["communicate"] += 1
        await asyncio.sleep(0.1)


async def uses_shell():
    while True:
        child = await asyncio.create_subprocess_shell("echo hello; exit 3", stdout=PIPE)
        assert await child.stdout.readline() == b"hello\n"
        assert await child.wait() == 3
        counts["shell"] += 1
        await asyncio.sleep(0.2)


async def times_out():
    while True:
        child = await asyncio.create_subprocess_exec("sleep", "5")
        try:
            await asyncio.wait_for(child.wait(), 0.05)
        except asyncio.TimeoutError:
            child.kill()
            await child.wait()
            counts["timeout"] += 1
        await asyncio.sleep(0.3)


async def main():
    for endless in (pulse.beat(), waits(), waits(), talks(), talks(), uses_shell(), times_out()):
        pulse.start(endless)
    await asyncio.sleep(0.1)
    pulse.ready()
    await asyncio.Event().wait()


pulse.run(main())
