"""FastAPI under uvicorn; LOOP in the environment is uvicorn's option `--loop`."""

import contextlib
import os

import uvicorn
from fastapi import FastAPI, Response

import serving
import ways


@contextlib.asynccontextmanager
async def lifespan(app):
    serving.started()
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/healthy")
async def healthy():
    return Response(await ways.rest())


@app.get("/block/{way}")
async def block(way: str):
    return Response(ways.block(way))


if __name__ == "__main__":
    uvicorn.run(app, host=serving.HOST, port=serving.PORT, loop=os.environ.get("LOOP", "auto"), log_level="warning", access_log=False)
