"""deep_stalls.py TRUTH [--uvloop]: a service that stalls at the bottom of deep stacks, as under the layers of a web framework.

A request passes through coroutines, then plain functions called from C, then coroutines driven by a plain function, then plain
functions again: 30 to 60 frames, alternating between Python and C. Each request has new coroutine frames, but reuses those of
the plain functions, so a sampler's cached part of the stack has two or more gaps.

Prints `ready`, waits for a line on stdin, stalls STALLS times with healthy requests in between, and writes the truth to TRUTH (a
JSON object: {"step": 1, "stalls": [{"start_ns", "end_ns", "function", "lines"}]}, CLOCK_MONOTONIC). Runs on 3.8 to 3.15.
"""

import asyncio
import functools
import json
import socket
import sys
import time

STALLS = 12
STALL_S = 0.15
# Tasks kept suspended, so that the coroutines of later requests get other addresses.
_parked = []
_stalls = []


def blocks_in_sleep(seconds):
    time.sleep(seconds)  # site: blocks_in_sleep


def blocks_in_read(seconds):
    ours, theirs = socket.socketpair()
    ours.settimeout(seconds)
    try:
        ours.recv(1)  # site: blocks_in_read
    except socket.timeout:
        pass
    ours.close()
    theirs.close()


def computes(seconds):
    ends = time.monotonic() + seconds
    total = 0
    while time.monotonic() < ends:  # site: computes
        total += 1  # site: computes
    return total


def through_c(function, *arguments):
    """Calls a function from C instead of from bytecode."""
    return next(map(functools.partial(function, *arguments), [None]))


def descend(levels, work, _=None):
    """Nested plain functions, every other one called from C."""
    if levels == 0:
        return work()
    if levels % 2:
        return through_c(descend, levels - 1, work)
    return descend(levels - 1, work)


async def middleware(levels, endpoint):
    if levels == 0:
        return endpoint()
    return await middleware(levels - 1, endpoint)


def drive(levels, work, _=None):
    """Runs coroutines from a plain function, as bridges from sync to async code do."""
    coroutine = middleware(levels, functools.partial(descend, 5, work))
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("the endpoint has awaited something")


async def request(shape, work):
    outer, inner = shape
    await middleware(outer, functools.partial(descend, 3, functools.partial(through_c, drive, inner, work)))


async def parked(levels, until):
    if levels:
        await parked(levels - 1, until)
    else:
        await until


async def healthy(loop, seconds):
    """Requests with other stack shapes, which share the plain functions with the requests that stall."""
    until = loop.create_future()
    ends = time.monotonic() + seconds
    number = 0
    while time.monotonic() < ends:
        number += 1
        work = functools.partial(sum, range(1000 if number % 3 else 20000))
        await loop.create_task(request((2 + number % 5, 1 + number % 3), work))
        await asyncio.sleep(0.001)
    _parked.append(until)
    _parked.append(loop.create_task(parked(12, until)))
    await asyncio.sleep(0)


def stall(kind):
    started = time.monotonic_ns()
    kind(STALL_S)
    _stalls.append({"start_ns": started, "end_ns": time.monotonic_ns(), "function": kind.__name__})


async def serve():
    loop = asyncio.get_running_loop()
    kinds = [blocks_in_sleep, blocks_in_read, computes]
    await healthy(loop, 0.5)
    for number in range(STALLS):
        await healthy(loop, 0.15)
        shape = (10 + number % 4 * 3, 4 + number % 3 * 4)
        await loop.create_task(request(shape, functools.partial(stall, kinds[number % len(kinds)])))
    await healthy(loop, 0.2)
    for until in _parked[::2]:
        until.set_result(None)
    await asyncio.gather(*_parked[1::2])


def main():
    if "--uvloop" in sys.argv:
        import uvloop

        uvloop.install()
    print("ready", flush=True)
    sys.stdin.readline()
    asyncio.run(serve())
    with open(__file__) as file:
        lines = file.read().splitlines()
    for one in _stalls:
        mark = "# site: " + one["function"]
        one["lines"] = [number for number, line in enumerate(lines, 1) if line.endswith(mark)]
    with open(sys.argv[1], "w") as file:
        json.dump({"step": 1, "stalls": _stalls}, file)
    sys.stdin.read()


main()
