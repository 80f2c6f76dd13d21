"""A healthy aiohttp server: handlers that wait, that share a semaphore which is always in use, a lock, and a small pool of threads.
Says `ready PORT PATH…`."""
# packages: aiohttp
import asyncio
import concurrent.futures
import time
import warnings

from aiohttp import web

import pulse

counts = pulse.counts


async def index(request):
    await asyncio.sleep(0.002)
    counts["index"] += 1
    return web.json_response({"items": list(range(20))})


async def limited(request):
    async with request.app["limit"]:
        await asyncio.sleep(0.01)
    counts["limited"] += 1
    return web.json_response({})


async def locked(request):
    async with request.app["lock"]:
        await asyncio.sleep(0.003)
    counts["locked"] += 1
    return web.json_response({})


async def pooled(request):
    await asyncio.get_running_loop().run_in_executor(request.app["pool"], time.sleep, 0.01)
    counts["pooled"] += 1
    return web.json_response({})


async def queued(request):
    answer = asyncio.get_running_loop().create_future()
    await request.app["queue"].put(answer)
    counts["queued"] += 1
    return web.json_response({"answer": await answer})


async def works(queue):
    while True:
        answer = await queue.get()
        await asyncio.sleep(0.005)
        if not answer.done():
            answer.set_result(1)


async def main():
    app = web.Application()
    app["limit"], app["lock"], app["queue"] = asyncio.Semaphore(2), asyncio.Lock(), asyncio.Queue(2)
    app["pool"] = concurrent.futures.ThreadPoolExecutor(2)
    handlers = index, limited, locked, pooled, queued
    for handler in handlers:
        app.router.add_get("/" + handler.__name__, handler)
    for _ in range(2):
        pulse.start(works(app["queue"]))
    pulse.start(pulse.beat())
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pulse.ready(runner.addresses[0][1], *("/" + handler.__name__ for handler in handlers))
    await asyncio.Event().wait()


# aiohttp recommends keys of a type that version 3.8 does not have.
warnings.simplefilter("ignore")
pulse.run(main())
