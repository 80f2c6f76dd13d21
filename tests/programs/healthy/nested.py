"""Runs the running loop again and again (nest_asyncio), from three tasks that interleave and from a callback. The loop turns all
the while."""
# packages: nest_asyncio
import asyncio

import nest_asyncio

import pulse

counts = pulse.counts


async def fetch(seconds):
    await asyncio.sleep(seconds)
    return seconds


def facade(seconds):
    return asyncio.get_event_loop().run_until_complete(fetch(seconds))


async def handler(number):
    while True:
        assert facade(0.01 + 0.02 * number) > 0
        counts["nested-%d" % number] += 1
        await asyncio.sleep(0.01)


async def deeper():
    return facade(0.01)


async def outer():
    while True:
        asyncio.get_event_loop().run_until_complete(deeper())
        counts["nested_twice"] += 1
        await asyncio.sleep(0.02)


async def works():
    while True:
        await asyncio.gather(*(fetch(0.003 * i) for i in range(5)))
        counts["gather"] += 1


async def main():
    nest_asyncio.apply()
    for endless in (pulse.beat(), works(), outer(), handler(0), handler(1), handler(2)):
        pulse.start(endless)
    await asyncio.sleep(0.1)
    pulse.ready()
    await asyncio.Event().wait()


pulse.run(main())
