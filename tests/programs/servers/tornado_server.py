"""Tornado's own server."""

import asyncio
import logging

from tornado.web import Application, RequestHandler

import serving
import ways


class Healthy(RequestHandler):
    async def get(self):
        self.write(await ways.rest())


class Block(RequestHandler):
    async def get(self, way):
        self.write(ways.block(way))


async def main():
    app = Application([("/healthy", Healthy), ("/block/(.*)", Block)])
    app.listen(serving.PORT, serving.HOST)
    serving.started()
    await asyncio.Event().wait()


logging.getLogger("tornado.access").setLevel(logging.ERROR)
asyncio.run(main())
