"""legal_stacks.py FILE [--us N] [--sync]: a program whose stack changes constantly, and all of whose legal stacks are known.

FILE receives the tree of all stacks it can have, as reported by the interpreter to a trace function. A node is a function
with its file, the range of its own lines and, by line, the calls it makes there. A sampled stack is legal if it is a path
from the root: each frame except the innermost is on a line that calls the next frame, and the innermost is on any line of
its function. Recursion ends in a different leaf at each depth, so that a missing or extra level is noticed.

Prints `ready` and runs until stdin closes. Each function takes N microseconds (default 2). With --sync, nothing is ever
suspended. Runs on CPython 3.8 to 3.15.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import time

# Cycles to trace: the first ones can take other paths than the rest.
CYCLES = 30
# What each function iterates over, calibrated to take the requested time.
BODY = range(10)
ONE = (1,)
NO_WAIT = 0


# Synchronous calls. The functions have frames of different sizes, so that a frame can overlap memory of several earlier ones.


def leaf_of_one():
    for _ in BODY:
        pass


def wide_leaf_of_one():
    a = b = c = d = e = f = g = h = i = j = 0
    for _ in BODY:
        pass
    return a, b, c, d, e, f, g, h, i, j


def leaf_of_two(first, second):
    total = first
    for _ in BODY:
        total = second
    return total


def narrow(first):
    leaf_of_two(first, 1)
    for _ in BODY:
        pass
    return another_leaf_of_two(2, first)


def another_leaf_of_two(first, second):
    x = y = first
    for _ in BODY:
        x = y
    return x, second


def wide(first):
    a = b = c = d = e = f = g = h = first
    leaf_of_wide(a)
    leaf_of_wide(b)
    return c, d, e, f, g, h


def leaf_of_wide(first):
    for _ in BODY:
        pass
    return first


def shape_one():
    leaf_of_one()
    wide_leaf_of_one()
    for _ in BODY:
        pass


def shape_two():
    narrow(1)
    wide(2)


# Recursion: the function called at the end shows the depth.


def ends_at_0():
    for _ in BODY:
        pass


def ends_at_1():
    for _ in BODY:
        pass


def ends_at_2():
    for _ in BODY:
        pass


def ends_at_3():
    for _ in BODY:
        pass


def ends_at_5():
    for _ in BODY:
        pass


def ends_at_8():
    for _ in BODY:
        pass


ENDS = {0: ends_at_0, 1: ends_at_1, 2: ends_at_2, 3: ends_at_3, 5: ends_at_5, 8: ends_at_8}


def recurses(left, end):
    if left:
        return recurses(left - 1, end)
    return end()


def recursion():
    for depth in ENDS:
        recurses(depth, ENDS[depth])


# Python called from C, and generators.


def called_by_map(number):
    for _ in BODY:
        pass
    return number


def called_by_sort(number):
    return leaf_of_sort(number)


def leaf_of_sort(number):
    for _ in BODY:
        pass
    return number


class HasProperty:
    @property
    def value(self):
        for _ in BODY:
            pass
        return 1


HAS_PROPERTY = HasProperty()


def through_c():
    list(map(called_by_map, ONE))
    sorted(ONE, key=called_by_sort)
    return HAS_PROPERTY.value


def yields():
    yield leaf_of_generator()
    for _ in BODY:
        pass
    yield 2


def leaf_of_generator():
    for _ in BODY:
        pass


def delegates():
    yield from yields()


def generators():
    for _ in yields():
        leaf_between_yields()
    for _ in delegates():
        pass


def leaf_between_yields():
    for _ in BODY:
        pass


# Coroutines that never suspend, so that they are always frames of the running task.


async def inner():
    for _ in BODY:
        pass
    leaf_of_inner()


def leaf_of_inner():
    for _ in BODY:
        pass


async def middle():
    await inner()
    for _ in BODY:
        pass
    await other_inner(1)


async def other_inner(first):
    a = b = c = d = first
    for _ in BODY:
        pass
    return a, b, c, d


async def outer():
    await middle()


async def awaits_end_at_1():
    for _ in BODY:
        pass


async def awaits_end_at_3():
    for _ in BODY:
        pass


async def awaits_end_at_6():
    for _ in BODY:
        pass


async def awaits(left, end):
    if left:
        return await awaits(left - 1, end)
    return await end()


async def async_values():
    for _ in BODY:
        pass
    yield await inner_of_values()


async def inner_of_values():
    for _ in BODY:
        pass


async def coroutines():
    await outer()
    await awaits(1, awaits_end_at_1)
    await awaits(3, awaits_end_at_3)
    await awaits(6, awaits_end_at_6)
    async for _ in async_values():
        leaf_of_async_for()


def leaf_of_async_for():
    for _ in BODY:
        pass


# Coroutines that suspend: meanwhile the event loop's own frames take their place.


async def waits():
    await asyncio.sleep(NO_WAIT)
    for _ in BODY:
        pass


async def waits_below():
    await waits()


async def cycle(suspends):
    shape_one()
    shape_two()
    recursion()
    through_c()
    generators()
    await coroutines()
    if suspends:
        await waits_below()


async def run(cycles, suspends):
    while cycles:
        await cycle(suspends)
        cycles -= 1


async def main(args, tracer):
    """With a tracer, runs CYCLES cycles; without, until stdin closes."""
    if tracer:
        tracer.start()
    else:
        print("ready", flush=True)
    # The same line in both cases, because it is part of every stack.
    await run(CYCLES if tracer else -1, not args.sync)
    sys.settrace(None)


# The tree of legal stacks


class Tracer:
    """Records every call with its stack."""

    def __init__(self):
        self.root = {"calls": {}}
        self.own_lines = {}

    def start(self):
        sys.settrace(self.called)

    def called(self, frame, event, argument):
        if event != "call":
            return None
        frames = []
        while frame:
            frames.append(frame)
            frame = frame.f_back
        node, line = self.root, 0
        for frame in reversed(frames):
            node = self.child(node, line, frame)
            line = frame.f_lineno
        return None

    def child(self, node, line, frame):
        code = frame.f_code
        calls = node["calls"].setdefault(str(line), {})
        if code not in calls:
            calls[code] = {"function": code.co_name, "file": code.co_filename, "lines": self.lines(code), "calls": {}}
        return calls[code]

    def lines(self, code):
        """The first and last line of a function's own code."""
        if code not in self.own_lines:
            if hasattr(code, "co_lines"):
                lines = [line for _, _, line in code.co_lines() if line]
            else:
                import dis

                lines = [line for _, line in dis.findlinestarts(code)]
            self.own_lines[code] = [code.co_firstlineno, max(lines + [code.co_firstlineno])]
        return self.own_lines[code]

    def tree(self):
        return self.as_lists(self.root)["calls"]["0"]

    def as_lists(self, node):
        calls = {line: [self.as_lists(child) for child in of.values()] for line, of in node["calls"].items()}
        return dict(node, calls=calls)


def calibrate(microseconds):
    """A range that takes this long to iterate over."""

    def once(count):
        body, best = range(count), 1.0
        for _ in range(5):
            started = time.perf_counter()
            for _ in body:
                pass
            best = min(best, time.perf_counter() - started)
        return best

    return range(max(1, int(microseconds / 1e6 / (once(100000) / 100000))))


def end_with_stdin():
    os.read(0, 1)
    os._exit(0)


def run_loop(args, tracer):
    # Not asyncio.run(): its frames between here and the event loop differ from version to version.
    loop = asyncio.new_event_loop()
    loop.run_until_complete(main(args, tracer))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--us", type=float, default=2)
    parser.add_argument("--sync", action="store_true")
    parser.add_argument("--describe", action="store_true", help="only write the file")
    return parser.parse_args()


def start():
    """Starts the loop from the same line, traced or not."""
    global BODY
    args = parse_arguments()
    if not args.describe:
        # In a separate process, because tracing changes the code objects.
        own = [os.path.abspath(__file__), args.file, "--describe"] + ["--sync"] * args.sync
        subprocess.run([sys.executable] + own, check=True, stdin=subprocess.DEVNULL)
        BODY = calibrate(args.us)
        thread = threading.Thread(target=end_with_stdin)
        thread.daemon = True
        thread.start()
    tracer = Tracer() if args.describe else None
    run_loop(args, tracer)
    if tracer:
        with open(args.file, "w") as file:
            json.dump({"file": os.path.abspath(__file__), "tree": tracer.tree()}, file)


if __name__ == "__main__":
    start()
