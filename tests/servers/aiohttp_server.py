"""`aiohttp_server.py FILE`: an aiohttp application on a free port. Writes the port to FILE and prints `ready`."""

import asyncio

from aiohttp import web

import shapes

STATE = web.AppKey("state", shapes.State) if hasattr(web, "AppKey") else "state"


async def index(request):
    return web.json_response({"served": await request.app[STATE].serve()})


async def slow(request):
    await request.app[STATE].wait_at_gate()
    return web.Response(text="done")


async def executor(request):
    await request.app[STATE].run_job()
    return web.Response(text="done")


async def both(request):
    await request.app[STATE].wait_for_both()
    return web.Response(text="both in flight")


async def orphan(request):
    request.app[STATE].forget()
    return web.Response(text="forgotten")


async def release(request):
    request.app[STATE].release()
    return web.Response(text="released")


async def lifespan(app):
    app[STATE] = shapes.State()
    task = asyncio.get_event_loop().create_task(shapes.refresh_cache())
    yield
    task.cancel()


async def main():
    app = web.Application()
    app.cleanup_ctx.append(lifespan)
    for handler in (index, slow, executor, both, orphan, release):
        app.router.add_get("/" if handler is index else "/" + handler.__name__, handler)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    shapes.announce(runner.addresses[0][1])
    await asyncio.Event().wait()


asyncio.run(main())
