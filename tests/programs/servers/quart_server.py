"""Quart, run by its own `run`, which is hypercorn."""

from quart import Quart

import serving
import ways

app = Quart(__name__)


@app.before_serving
async def start():
    serving.started()


@app.get("/healthy")
async def healthy():
    return await ways.rest()


@app.get("/block/<way>")
async def block(way):
    return ways.block(way)


app.run(host=serving.HOST, port=serving.PORT, use_reloader=False)
