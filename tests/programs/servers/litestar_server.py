"""Litestar under uvicorn."""

import uvicorn
from litestar import Litestar, get
from litestar.enums import MediaType

import serving
import ways


@get("/healthy", media_type=MediaType.TEXT)
async def healthy() -> str:
    return await ways.rest()


@get("/block/{way:str}", media_type=MediaType.TEXT)
async def block(way: str) -> str:
    return ways.block(way)


async def start() -> None:
    serving.started()


app = Litestar([healthy, block], on_startup=[start], openapi_config=None)
uvicorn.run(app, host=serving.HOST, port=serving.PORT, log_level="warning", access_log=False)
