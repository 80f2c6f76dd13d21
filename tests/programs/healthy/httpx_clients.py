"""12 tasks share an httpx client with 3 connections, on a server of the same process."""
# packages: httpx
import asyncio

import httpx

import pulse
import small_server

counts = pulse.counts


async def fetches(client, address):
    while True:
        answer = await client.get(address)
        assert answer.json() == {"ok": True}
        counts["fetch"] += 1
        await asyncio.sleep(0.02)


async def times_out(client, address):
    while True:
        try:
            await client.get(address + "slow", timeout=httpx.Timeout(None, read=0.05))
        except httpx.ReadTimeout:
            counts["timeout"] += 1
        await asyncio.sleep(0.1)


async def main():
    address = await small_server.start()
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=3), timeout=60, trust_env=False) as client:
        for endless in (*(fetches(client, address) for _ in range(12)), times_out(client, address)):
            pulse.start(endless)
        pulse.start(pulse.beat())
        await asyncio.sleep(0.3)
        pulse.ready()
        await asyncio.Event().wait()


pulse.run(main())
