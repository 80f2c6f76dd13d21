"""`uvicorn_server.py FILE`: a FastAPI application under uvicorn with uvloop, on a free port. Writes the port to FILE and
prints `ready`."""

import asyncio
import contextlib
import socket

import uvicorn
from fastapi import FastAPI

import shapes


@contextlib.asynccontextmanager
async def lifespan(app):
    app.state.shapes = shapes.State()
    task = asyncio.get_event_loop().create_task(shapes.refresh_cache())
    yield
    task.cancel()


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def index():
    return {"served": await app.state.shapes.serve()}


@app.get("/slow")
async def slow():
    await app.state.shapes.wait_at_gate()
    return "done"


@app.get("/executor")
async def executor():
    await app.state.shapes.run_job()
    return "done"


@app.get("/both")
async def both():
    await app.state.shapes.wait_for_both()
    return "both in flight"


@app.get("/orphan")
async def orphan():
    app.state.shapes.forget()
    return "forgotten"


@app.get("/release")
async def release():
    app.state.shapes.release()
    return "released"


class Server(uvicorn.Server):
    """Announces its port once it listens."""

    async def startup(self, sockets=None):
        await super().startup(sockets=sockets)
        shapes.announce(sockets[0].getsockname()[1])


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
Server(uvicorn.Config(app, loop="uvloop", http="h11", log_level="warning", access_log=False)).run(sockets=[listener])
