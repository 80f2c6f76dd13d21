"""`asyncpg_pool.py FOLDER`: asyncpg's own pool of 3 connections to the PostgreSQL whose socket is in FOLDER, shared by 10 tasks."""
# packages: asyncpg
import asyncio
import sys

import asyncpg

import pulse

counts = pulse.counts


async def queries(pool):
    while True:
        async with pool.acquire() as connection:
            await connection.fetchval("select pg_sleep(0.01)")
        counts["query"] += 1
        await asyncio.sleep(0.005)


async def sleeps_long(pool):
    while True:
        await pool.execute("select pg_sleep(0.3)")
        counts["long_query"] += 1


async def reads(pool):
    while True:
        async with pool.acquire() as connection, connection.transaction():
            async for _ in connection.cursor("select generate_series(1, 200)"):
                pass
        counts["cursor"] += 1
        await asyncio.sleep(0.05)


async def times_out(pool):
    while True:
        async with pool.acquire() as connection:
            try:
                await connection.fetchval("select pg_sleep(5)", timeout=0.05)
            except asyncio.TimeoutError:
                counts["timeout"] += 1
        await asyncio.sleep(0.2)


async def main():
    async with asyncpg.create_pool(user="healthy", database="postgres", host=sys.argv[1], min_size=2, max_size=3) as pool:
        for endless in (*(queries(pool) for _ in range(6)), sleeps_long(pool), reads(pool), reads(pool), times_out(pool)):
            pulse.start(endless)
        pulse.start(pulse.beat())
        await asyncio.sleep(0.5)
        pulse.ready()
        await asyncio.Event().wait()


pulse.run(main())
