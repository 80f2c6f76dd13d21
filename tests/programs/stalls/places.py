"""The places to block in: where a step of kinds.py is called, such as in a signal handler.

A place is `await place.run(step, seconds)`, which returns three times, the name of the task that the report should name, or None:
no earlier than `earliest` and no later than `start` the loop began the iteration that stalls, until `end`. Runs on CPython 3.8 to
3.15.
"""

import asyncio
import signal
import time

# A rest in which the loop gets back to its selector.
REST_S = 0.02
# Until the signal, from when the loop was about to enter its selector.
SIGNAL_S = 0.003


def timed(step, seconds):
    start = time.monotonic_ns()
    step(seconds)
    return start, time.monotonic_ns()


def own_name():
    # From 3.14 on, a task that is written in Python, as with nest_asyncio, is noted in this dict only.
    task = asyncio.current_task() or asyncio.tasks._current_tasks.get(asyncio.get_event_loop())
    return task.get_name() if task else None


async def in_step(step, seconds):
    earliest = time.monotonic_ns()
    await asyncio.sleep(0)
    # Until the end, no other step or callback runs, and the loop stays in this iteration.
    return (earliest, *timed(step, seconds), own_name())


async def in_callback(step, seconds):
    loop = asyncio.get_event_loop()
    done = loop.create_future()
    earliest = time.monotonic_ns()
    loop.call_soon(lambda: done.set_result(timed(step, seconds)))
    return (earliest, *await done, None)


class Handler:
    """A signal handler that blocks once."""

    def __init__(self, step, seconds):
        self.step, self.seconds = step, seconds
        self.times = self.task = None

    def __call__(self, number, frame):
        # On a busy machine the signal can come before the loop is in its selector.
        self.task = own_name()
        self.times = timed(self.step, self.seconds)

    def __enter__(self):
        signal.signal(signal.SIGALRM, self)
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


async def in_signal_handler(step, seconds):
    """While the loop waits in its selector."""
    with Handler(step, seconds) as handler:
        signal.setitimer(signal.ITIMER_REAL, SIGNAL_S)
        while not handler.times:
            await asyncio.sleep(REST_S)
        return (handler.times[0], *handler.times, handler.task)


async def in_signal_handler_of_step(step, seconds):
    """While a step runs."""
    with Handler(step, seconds) as handler:
        earliest = time.monotonic_ns()
        await asyncio.sleep(0)
        signal.setitimer(signal.ITIMER_REAL, SIGNAL_S / 10)
        start = time.monotonic_ns()
        while not handler.times:
            pass
        return earliest, start, time.monotonic_ns(), own_name()


# Synchronous code that awaits from below a coroutine, as in SQLAlchemy's greenlet_spawn and await_only.


async def spawn(function):
    # Not at the top, because not every run has it.
    import greenlet

    bridge = greenlet.greenlet(function)
    awaitable = bridge.switch()
    while not bridge.dead:
        awaitable = bridge.switch(await awaitable)


def await_from_below(awaitable):
    import greenlet

    return greenlet.getcurrent().parent.switch(awaitable)


async def in_greenlet(step, seconds):
    times = []

    def synchronous():
        await_from_below(asyncio.sleep(REST_S))
        earliest = time.monotonic_ns()
        await_from_below(asyncio.sleep(0))
        times.extend((earliest, *timed(step, seconds), own_name()))

    await spawn(synchronous)
    return times


# A loop that is run again while it runs, as by nest_asyncio.


def facade(coroutine):
    loop = asyncio.get_event_loop()
    return loop.run_until_complete(loop.create_task(coroutine, name="inner"))


async def in_nested_loop(step, seconds):
    """In a task that the inner run of the loop runs."""

    async def inner():
        await asyncio.sleep(REST_S)
        times = await in_step(step, seconds)
        await asyncio.sleep(0)
        return times

    return facade(inner())


async def after_nested_loop(step, seconds):
    """In the step that ran the loop again, and goes on."""

    async def inner():
        await asyncio.sleep(REST_S)
        return time.monotonic_ns()

    earliest = facade(inner())
    return (earliest, *timed(step, seconds), own_name())


class Place:
    def __init__(self, name, run, package=None):
        self.name = name
        self.run = run
        # The package that it needs, or None.
        self.package = package


STEP = Place("step", in_step)
PLACES = [
    STEP,
    Place("callback", in_callback),
    Place("handler", in_signal_handler),
    Place("handler of step", in_signal_handler_of_step),
    Place("greenlet", in_greenlet, "greenlet"),
    Place("nested loop", in_nested_loop, "nest_asyncio"),
    Place("after nested loop", after_nested_loop, "nest_asyncio"),
]

# The kinds of kinds.py that are also tried in other places than a step, and the fewer for a short run.
KINDS = ("sleep", "cpu", "pipe", "native_sum", "gil_in_step")
QUICK_KINDS = ("sleep", "cpu")
