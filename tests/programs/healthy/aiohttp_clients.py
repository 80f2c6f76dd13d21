"""16 tasks share an aiohttp session with 4 connections, on a server of the same process."""
# packages: aiohttp
import asyncio

import aiohttp

import pulse
import small_server

counts = pulse.counts


async def fetches(session, address):
    while True:
        async with session.get(address) as answer:
            assert await answer.json() == {"ok": True}
        counts["fetch"] += 1
        await asyncio.sleep(0.01)


async def times_out(session, address):
    while True:
        try:
            async with session.get(address + "slow", timeout=aiohttp.ClientTimeout(sock_read=0.05)):
                pass
        except asyncio.TimeoutError:
            counts["timeout"] += 1
        await asyncio.sleep(0.1)


async def main():
    address = await small_server.start()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=4)) as session:
        for endless in (*(fetches(session, address) for _ in range(16)), times_out(session, address)):
            pulse.start(endless)
        pulse.start(pulse.beat())
        await asyncio.sleep(0.3)
        pulse.ready()
        await asyncio.Event().wait()


pulse.run(main())
