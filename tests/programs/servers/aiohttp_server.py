"""aiohttp.web."""

from aiohttp import web

import serving
import ways


async def healthy(request):
    return web.Response(text=await ways.rest())


async def block(request):
    return web.Response(text=ways.block(request.match_info["way"]))


async def start(app):
    serving.started()


app = web.Application()
app.add_routes([web.get("/healthy", healthy), web.get("/block/{way}", block)])
app.on_startup.append(start)
web.run_app(app, host=serving.HOST, port=serving.PORT, print=None, access_log=None)
