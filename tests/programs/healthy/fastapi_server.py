"""A healthy FastAPI application under uvicorn: async endpoints, `def` endpoints in anyio's pool of threads, a limiter, streams of
objects, a lock and task groups of anyio. Says `ready PORT PATH…`."""
# packages: uvicorn fastapi anyio
import contextlib
import socket
import time

import anyio
import anyio.to_thread
import uvicorn
from fastapi import FastAPI

import pulse

counts, state = pulse.counts, {}
PATHS = "/index", "/plain", "/limited", "/locked", "/streamed", "/grouped"


@contextlib.asynccontextmanager
async def lifespan(app):
    anyio.to_thread.current_default_thread_limiter().total_tokens = 3
    state["limiter"], state["lock"] = anyio.CapacityLimiter(2), anyio.Lock()
    state["send"], receive = anyio.create_memory_object_stream(2)
    async with anyio.create_task_group() as group:
        for _ in range(2):
            group.start_soon(works, receive)
        pulse.start(pulse.beat())
        yield
        group.cancel_scope.cancel()


async def works(receive):
    async for item, answered in receive:
        await anyio.sleep(0.005)
        answered.set()


app = FastAPI(lifespan=lifespan)


@app.get("/index")
async def index():
    await anyio.sleep(0.002)
    counts["index"] += 1
    return {"items": list(range(20))}


@app.get("/plain")
def plain():
    time.sleep(0.01)
    counts["plain"] += 1
    return {}


@app.get("/limited")
async def limited():
    await anyio.to_thread.run_sync(time.sleep, 0.008, limiter=state["limiter"])
    counts["limited"] += 1
    return {}


@app.get("/locked")
async def locked():
    async with state["lock"]:
        await anyio.sleep(0.003)
    counts["locked"] += 1
    return {}


@app.get("/streamed")
async def streamed():
    answered = anyio.Event()
    await state["send"].send(("item", answered))
    await answered.wait()
    counts["streamed"] += 1
    return {}


@app.get("/grouped")
async def grouped():
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(anyio.sleep, 0.004 * number)
    with anyio.move_on_after(0.005):
        await anyio.sleep(1)
    counts["grouped"] += 1
    return {}


class Server(uvicorn.Server):
    """Says its port once it listens."""

    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        pulse.ready(sockets[0].getsockname()[1], *PATHS)


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
loop = "uvloop" if pulse.asked_for("uvloop") else "asyncio"
Server(uvicorn.Config(app, loop=loop, http="h11", log_level="warning", access_log=False)).run(sockets=[listener])
