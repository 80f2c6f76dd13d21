"""Sanic with one worker: the event loop runs in a process of its own."""

import logging

from sanic import Sanic, text
from sanic.worker.manager import WorkerManager

import serving
import ways

app = Sanic("matrix")


@app.after_server_start
async def start(app):
    serving.started()


@app.get("/healthy")
async def healthy(request):
    return text(await ways.rest())


@app.get("/block/<way:str>")
async def block(request, way):
    return text(ways.block(way))


if __name__ == "__main__":
    # A worker on a busy machine has more time to start, in tenths of a second.
    WorkerManager.THRESHOLD = 1200
    logging.disable(logging.WARNING)
    app.run(host=serving.HOST, port=serving.PORT, workers=1, access_log=False, motd=False)
