"""stalls.py FILE [OPTIONS]: stalls its event loop on a known schedule, and logs when, how and where to FILE.

Prints `ready`, starts at a line on stdin, prints `done` at the end, and stays idle until stdin closes. Each line of FILE is a
JSON object:

    {"is": "skipped", "kind", "why"}              this machine cannot produce that kind
    {"is": "stall", "kind", "causes", "sites", "start_ns", "end_ns", "earliest_ns", "latest_ns", "starved_ns"}
    {"is": "unplanned", "start_ns", "end_ns"}     the machine kept the loop from running; may be reported or not
    {"is": "busy", "start_ns", "end_ns"}          busy but healthy
    {"is": "end"}

Times are CLOCK_MONOTONIC, taken at the start and end of the step that stalls. Between stalls the loop is healthy. Runs on
CPython 3.8 to 3.15, and under uvloop.
"""

import argparse
import asyncio
import inspect
import json
import os
import random
import sys
import time

import kinds

# A sleep that overruns by more than this is logged.
UNPLANNED_S = 0.03
# No lengths near the threshold of 100 ms, because those may be reported or not.
FULL_MS = (8, 20, 45, 70, 90, 115, 130, 150, 180, 220, 280, 350, 450)


def schedule(args, able):
    """Kind and length in seconds of each stall, by seed."""
    chance = random.Random(args.seed)
    planned, skipped = [], []
    for kind in kinds.KINDS:
        if args.kinds and kind.name not in args.kinds:
            continue
        if kind.needs and able[kind.needs]:
            skipped.append((kind.name, able[kind.needs]))
            continue
        if args.lengths:
            lengths = args.lengths
        elif args.quick:
            lengths = (chance.uniform(20, 85), chance.uniform(120, 220))
        else:
            lengths = [length * chance.uniform(0.97, 1.03) for length in FULL_MS * args.repeat]
        planned += [(kind, length / 1000) for length in lengths]
    chance.shuffle(planned)
    return planned, skipped


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


async def stall(kind, seconds):
    """Stalls; returns bounds of its start (earliest, latest) and its end (earliest, latest): microseconds apart on a quiet machine.

    Between the two bounds of the start, and again of the end, the loop moves on to its next iteration.
    """
    if kind.before:
        await kind.before(seconds)
    if inspect.iscoroutinefunction(kind.step):
        earliest, start, end = await kind.step(seconds)
    else:
        earliest = time.monotonic_ns()
        await asyncio.sleep(0)
        # Until the end, no other step or callback runs, and the loop stays in this iteration.
        start = time.monotonic_ns()
        kind.step(seconds)
        end = time.monotonic_ns()
    await asyncio.sleep(0)
    return earliest, start, end, time.monotonic_ns()


async def follow(planned, writer, chance):
    for number, (kind, seconds) in enumerate(planned):
        await is_healthy(writer, chance)
        if number % 10 == 0:
            await is_busy(writer, 0.25)
        await asyncio.sleep(0.001)
        starved = starved_ns()
        earliest, start, end, latest = await stall(kind, seconds)
        starved = starved_ns() - starved
        await asyncio.sleep(0.001)
        entry = {"is": "stall", "kind": kind.name, "causes": kind.causes, "sites": kinds.sites_of(kind)}
        writer.write(start_ns=start, end_ns=end, earliest_ns=earliest, latest_ns=latest, starved_ns=starved, **entry)
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
    if not args.kinds or "gc" in args.kinds:
        kinds.prepare_garbage()
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
    parser.add_argument("--kinds", type=lambda text: text.split(","))
    parser.add_argument("--lengths", type=lambda text: [float(one) for one in text.split(",")], help="milliseconds")
    parser.add_argument("--uvloop", action="store_true")
    parser.add_argument("--dns", default="", help="address that /etc/resolv.conf names, and that is free to serve DNS on")
    return parser.parse_args()


def run(args):
    if args.uvloop:
        import uvloop

        loop = uvloop.new_event_loop()
    else:
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(main(args))


if __name__ == "__main__":
    run(arguments())
