"""Starlette under uvicorn."""

import contextlib

import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

import serving
import ways


@contextlib.asynccontextmanager
async def lifespan(app):
    serving.started()
    yield


async def healthy(request):
    return Response(await ways.rest())


async def block(request):
    return Response(ways.block(request.path_params["way"]))


app = Starlette(routes=[Route("/healthy", healthy), Route("/block/{way}", block)], lifespan=lifespan)

if __name__ == "__main__":
    uvicorn.run(app, host=serving.HOST, port=serving.PORT, log_level="warning", access_log=False)
