"""Clients of several libraries whose pool of connections is used up; one library at a time. `hold` tasks have the connections, the
tasks `late-…` wait for one. No server is needed: the peer accepts connections and never answers, or SQLite stands for it."""
import asyncio
import sys

library = sys.argv[2]
LATE = 3


async def aiohttp(ready):
    import aiohttp

    async def hold(session, port):
        async with session.get(f"http://127.0.0.1:{port}/"):
            await ready.wait()  # the line of the holders

    async def late(session, port):
        async with session.get(f"http://127.0.0.1:{port}/"):
            pass

    server = await asyncio.start_server(begins_to_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    connector = aiohttp.TCPConnector(limit=2)
    session = aiohttp.ClientSession(connector=connector)
    for _ in range(2):
        start(hold(session, port))
    while arrived < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    late_ones(late(session, port) for _ in range(LATE))
    return session


async def aiohttp_host(ready):
    import aiohttp

    async def get(session, port):
        async with session.get(f"http://127.0.0.1:{port}/"):
            await ready.wait()

    server = await asyncio.start_server(begins_to_answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=100, limit_per_host=2))
    for _ in range(2):
        start(get(session, port))
    while arrived < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    late_ones(get(session, port) for _ in range(LATE))
    return session


async def sqlalchemy(ready):
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import AsyncAdaptedQueuePool

    engine = create_async_engine("sqlite+aiosqlite:///:memory:", poolclass=AsyncAdaptedQueuePool, pool_size=1, max_overflow=1)
    taken = []

    async def hold():
        async with engine.connect() as connection:
            taken.append(connection)
            await ready.wait()

    async def late():
        async with engine.connect():
            pass

    for _ in range(2):
        start(hold())
    while len(taken) < 2:
        await asyncio.sleep(0.01)
    late_ones(late() for _ in range(LATE))
    return engine


async def redis(ready):
    from redis.asyncio import BlockingConnectionPool

    class Pool(BlockingConnectionPool):
        async def ensure_connection(self, connection):
            pass

    pool = Pool(max_connections=2, timeout=600)
    for _ in range(2):
        kept.append(await pool.get_connection("GET"))

    async def late():
        await pool.get_connection("GET")

    late_ones(late() for _ in range(LATE))
    return pool


async def httpx(ready):
    import httpx

    server = await asyncio.start_server(begins_to_answer, "127.0.0.1", 0)
    url = "http://127.0.0.1:%d/" % server.sockets[0].getsockname()[1]
    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=2), timeout=None, trust_env=False)

    async def hold():
        async with client.stream("GET", url):
            await ready.wait()

    async def late():
        await client.get(url)

    for _ in range(2):
        start(hold())
    while arrived < 2:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    late_ones(late() for _ in range(LATE))
    return client


async def asyncpg(ready):
    import asyncpg

    import asyncpg.pool as module

    pool = asyncpg.create_pool("postgres://nobody@127.0.0.1:1/none", min_size=0, max_size=2)
    pool._initialized = True
    pool._queue = asyncio.LifoQueue(maxsize=2)
    for _ in range(2):
        holder = module.PoolConnectionHolder(
            pool, max_queries=1, setup=None, max_inactive_time=0, **extra_of(module.PoolConnectionHolder)
        )
        pool._holders.append(holder)
        pool._queue.put_nowait(holder)

    async def acquire(self):
        self._in_use = asyncio.get_running_loop().create_future()
        return object()

    module.PoolConnectionHolder.acquire = acquire

    async def hold():
        async with pool.acquire():
            await ready.wait()

    async def late():
        async with pool.acquire():
            pass

    for _ in range(2):
        start(hold())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    late_ones(late() for _ in range(LATE))
    return pool


def extra_of(cls):
    import inspect

    known = {"self", "pool", "max_queries", "setup", "max_inactive_time"}
    return {name: None for name in inspect.signature(cls.__init__).parameters if name not in known}


arrived, kept = 0, []


async def begins_to_answer(reader, writer):
    global arrived
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx")
    await writer.drain()
    arrived += 1


def start(coroutine):
    kept.append(asyncio.create_task(coroutine, name=f"hold-{len(kept)}"))


def late_ones(coroutines):
    kept.extend(asyncio.create_task(one, name=f"late-{number}") for number, one in enumerate(coroutines))


async def main():
    ready = asyncio.Event()
    kept.append(await globals()[library](ready))
    await asyncio.sleep(0.1)
    print("ready", flush=True)
    await asyncio.Event().wait()


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
