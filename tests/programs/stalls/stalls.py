"""stalls.py FILE [OPTIONS]: stalls its event loop on a known schedule, and logs when, how and where to FILE.

Prints `ready`, starts at a line on stdin, prints `done` at the end, and stays idle until stdin closes. Each line of FILE is a
JSON object:

    {"is": "skipped", "kind", "why"}              this machine cannot produce that kind
    {"is": "stall", "kind", "place", "causes", "sites", "start_ns", "end_ns", "earliest_ns", "latest_ns", "starved_ns", "task"}
    {"is": "unplanned", "start_ns", "end_ns"}     the machine kept the loop from running; may be reported or not
    {"is": "busy", "start_ns", "end_ns"}          busy but healthy
    {"is": "end"}

Times are CLOCK_MONOTONIC, taken at the start and end of the step that stalls. `task` is the name to report, or null; it is left
out where no task is to be asked for. Between stalls the loop is healthy. Runs on CPython 3.8 to 3.15, on asyncio's loop, uvloop,
one that nest_asyncio patches, and one of its own (foreign_loop.py).
"""

import argparse
import asyncio
import importlib
import inspect
import json
import os
import random
import sys
import time

import kinds
import places

# A sleep that overruns by more than this is logged.
UNPLANNED_S = 0.03
# No lengths near the threshold of 100 ms, because those may be reported or not.
FULL_MS = (8, 20, 45, 70, 90, 115, 130, 150, 180, 220, 280, 350, 450)


def schedule(args, able):
    """Place, kind and length in seconds of each stall, by seed."""
    chance = random.Random(args.seed)
    planned, skipped = [], []
    for place in places.PLACES:
        if place.name not in args.places:
            continue
        for kind in kinds_in(place, args):
            if not (kind.needs and able[kind.needs]):
                planned += [(place, kind, length / 1000) for length in lengths_in(place, args, chance)]
            elif place is places.STEP:
                skipped.append((kind.name, able[kind.needs]))
    chance.shuffle(planned)
    return planned, skipped


def kinds_in(place, args):
    if place is places.STEP:
        names = args.kinds or [kind.name for kind in kinds.KINDS]
    else:
        names = places.QUICK_KINDS if args.quick else places.KINDS
    return [kind for kind in kinds.KINDS if kind.name in names]


def lengths_in(place, args, chance):
    if args.lengths:
        return args.lengths
    if not args.quick:
        return [length * chance.uniform(0.97, 1.03) for length in FULL_MS * args.repeat]
    short, long = chance.uniform(20, 85), chance.uniform(120, 220)
    return (short, long) if place is places.STEP else (long,)


def starved_ns():
    """Time this thread has spent waiting for a CPU since it started."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1])
    except (OSError, IndexError):
        return 0


class Writer:
    def __init__(self, path):
        self.file = open(path, "w")

    def write(self, **entry):
        # Flush each line, so that a killed target leaves only whole lines.
        self.file.write(json.dumps(entry) + "\n")
        self.file.flush()


def work(seconds):
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        pass


async def rests(writer, seconds):
    """Sleeps, and logs it if the machine makes the sleep much longer."""
    started = time.monotonic_ns()
    await asyncio.sleep(seconds)
    ended = time.monotonic_ns()
    due = started + int(seconds * 1e9)
    if ended - due > UNPLANNED_S * 1e9:
        writer.write(**{"is": "unplanned", "start_ns": due, "end_ns": ended})


async def is_healthy(writer, chance):
    for _ in range(chance.randint(3, 6)):
        await rests(writer, chance.uniform(0.002, 0.008))
        begins = time.monotonic_ns()
        work(chance.uniform(0.0005, 0.003))
        # Losing the CPU is a stall too, but an unplanned one.
        ended = time.monotonic_ns()
        if ended - begins > UNPLANNED_S * 1e9:
            writer.write(**{"is": "unplanned", "start_ns": begins, "end_ns": ended})


async def is_busy(writer, seconds):
    """Busy but healthy: only ever polls its selector."""
    started = time.monotonic_ns()
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        await rests(writer, 0)
        work(0.002)
    writer.write(**{"is": "busy", "start_ns": started, "end_ns": time.monotonic_ns()})


async def stall(place, kind, seconds):
    """Stalls; returns bounds of its start (earliest, latest) and its end (earliest, latest), microseconds apart on a quiet machine,
    and the task, if one is to be asked for.

    Between the two bounds of the start, and again of the end, the loop moves on to its next iteration.
    """
    task = {}
    if kind.before:
        await kind.before(seconds)
    if inspect.iscoroutinefunction(kind.step):
        earliest, start, end = await kind.step(seconds)
    else:
        earliest, start, end, task["task"] = await place.run(kind.step, seconds)
    await asyncio.sleep(0)
    return dict(task, earliest_ns=earliest, start_ns=start, end_ns=end, latest_ns=time.monotonic_ns())


async def follow(planned, writer, chance):
    for number, (place, kind, seconds) in enumerate(planned):
        await is_healthy(writer, chance)
        if number % 10 == 0:
            await is_busy(writer, 0.25)
        await asyncio.sleep(0.001)
        starved = starved_ns()
        times = await stall(place, kind, seconds)
        starved = starved_ns() - starved
        await asyncio.sleep(0.001)
        entry = {"is": "stall", "kind": kind.name, "place": place.name, "causes": kind.causes, "sites": kinds.sites_of(kind)}
        writer.write(starved_ns=starved, **times, **entry)
    await is_healthy(writer, chance)


async def line_from_stdin():
    """Waits for a line; returns whether there was one, which is false if stdin was closed."""
    loop = asyncio.get_event_loop()
    read = loop.create_future()
    loop.add_reader(0, lambda: read.done() or read.set_result(os.read(0, 100)))
    try:
        return bool(await read)
    finally:
        loop.remove_reader(0)


async def main(args):
    kinds.prepare(args.dns)
    if "gc" in args.kinds or (not args.kinds and places.STEP.name in args.places):
        kinds.prepare_garbage()
    for place in places.PLACES:
        if place.package and place.name in args.places:
            importlib.import_module(place.package)
    planned, skipped = schedule(args, kinds.abilities())
    writer = Writer(args.file)
    for name, why in skipped:
        writer.write(**{"is": "skipped", "kind": name, "why": why})
    print("ready", flush=True)
    if await line_from_stdin():
        await follow(planned, writer, random.Random(args.seed))
        writer.write(**{"is": "end"})
        print("done", flush=True)
        while await line_from_stdin():
            pass
    kinds.end()


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a short and a long one of each kind")
    parser.add_argument("--repeat", type=int, default=1, help="of all lengths")
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=[], help="in steps, instead of all")
    parser.add_argument("--places", type=lambda text: text.split(","), default=[places.STEP.name])
    parser.add_argument("--lengths", type=lambda text: [float(one) for one in text.split(",")], help="milliseconds")
    parser.add_argument("--loop", choices=("asyncio", "uvloop", "nested", "foreign"), default="asyncio")
    parser.add_argument("--dns", default="", help="address that /etc/resolv.conf names, and that is free to serve DNS on")
    return parser.parse_args()


def new_loop(name):
    if name == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    if name == "foreign":
        import foreign_loop

        return foreign_loop.EpollLoop()
    if name == "nested":
        import nest_asyncio

        loop = asyncio.new_event_loop()
        nest_asyncio.apply(loop)
        return loop
    return asyncio.new_event_loop()


def run(args):
    loop = new_loop(args.loop)
    asyncio.set_event_loop(loop)
    loop.run_until_complete(main(args))


if __name__ == "__main__":
    run(arguments())
