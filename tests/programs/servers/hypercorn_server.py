"""Starlette under hypercorn."""

import asyncio

from hypercorn.asyncio import serve
from hypercorn.config import Config

import serving
from starlette_server import app

config = Config()
config.bind = ["%s:%d" % (serving.HOST, serving.PORT)]
config.loglevel = "ERROR"
asyncio.run(serve(app, config))
