"""The truth that `asyncprof dump` is compared with: what the interpreter itself reports about its tasks.

A program builds one async shape, each task announces what it is about to wait for (`waits`), and `park` lets the event loop
settle. Then a JSON document is written to the file named by argv[1] (to stdout without one), `ready` is printed, and the
process stays in its selector, or in a blocking read, until stdin closes.

The oracle must not change what it measures. It holds only addresses of and weak references to tasks, so reference counts
are the program's own; it works from a callback, so no task runs during the snapshot; and it leaves lazy names (`Task-7`
stored as the number 7) alone if the program asks for that. Runs on CPython 3.8 to 3.15.
"""

import asyncio
import gc
import heapq
import json
import linecache
import os
import selectors
import sys
import threading
import time
import types
import weakref

VERSION = sys.version_info[:2]
FUTURE = asyncio.Future
PATIENCE_S = 30.0
QUIET_PASSES = 2  # The pass after the last step drops timers cancelled by that step.
ANY = "any"

_announced = {}  # id of a task -> _Announced
_labels = {}  # label -> id of a task
_kept = []  # tasks that the program deliberately owns
_conditions = []  # functions that must return true before the snapshot
_loops = {}  # id of a loop -> weak reference
_lazy = {}  # id of a task -> its name, known without asking the task
_loose_threads = set()  # name prefixes of library threads for which only the outermost frames are known
_started = None


class _Announced:
    """What a task's author announces about it."""

    def __init__(self, task):
        self.task = weakref.ref(task)
        self.kind = None
        self.tasks = []
        self.orphaned = False
        self.may_miss = False
        self.optional = False
        self.owns = []
        self.state = None
        self.stack = None
        self.end = None
        self.has_end = False


def _of(task):
    found = _announced.get(id(task))
    if found is None or found.task() is not task:
        found = _announced[id(task)] = _Announced(task)
    return found


def expect(task, kind=None, tasks=(), label=None, **facts):
    """Announces from outside what `task` waits for: a kind (or several correct ones) and the tasks, by label or object.

    facts: orphaned (True, False, None), may_miss (an orphan that may be shown as null or false), state, stack, end (type
    name of the awaitable its stack ends in, if the interpreter cannot tell), optional (the task may be missing), owns
    (tasks that may also be shown as awaited by it, such as members of a task group whose body is still running)."""
    said = _of(task)
    if kind is not None:
        said.kind = kind
        said.tasks = [one if isinstance(one, str) else id(one) for one in tasks]
    if label is not None:
        _labels[label] = id(task)
    if "end" in facts:
        said.has_end = True
    for fact, value in facts.items():
        setattr(said, fact, value)
    return task


def waits(kind, *tasks, **facts):
    """Announces from inside what the current task is about to wait for. Called in the step that ends with that await."""
    expect(asyncio.current_task(), kind, tasks, **facts)


def task(coroutine, name=None, keep=True, loop=None, **facts):
    """Creates a task that this module owns (keep=True) or nothing owns (keep=False: the author sets `orphaned`)."""
    loop = loop or asyncio.get_event_loop()
    made = loop.create_task(coroutine)
    if name is not None:
        made.set_name(name)
        _labels.setdefault(name, id(made))
    expect(made, **facts)
    if keep:
        _kept.append(made)
    return made


def orphan(coroutine, name, **facts):
    """Fire and forget: creates a task and keeps no reference to it."""
    facts.setdefault("orphaned", True)
    task(coroutine, name, keep=False, **facts)


async def _nothing():
    pass


def lazy_task(coroutine, **facts):
    """A task whose name is never read: its number is one less than that of the task created right after it."""
    loop = asyncio.get_event_loop()
    made = loop.create_task(coroutine)
    after = loop.create_task(_nothing())
    _lazy[id(made)] = "Task-%d" % (int(after.get_name()[len("Task-") :]) - 1)
    expect(made, **facts)
    _kept.append(made)
    return made


def label(name):
    """Labels the current task for edges that other tasks announce, without touching its real name."""
    _labels[name] = id(asyncio.current_task())


def keep(thing):
    """Keeps anything alive until the process exits."""
    _kept.append(thing)
    return thing


def until(condition):
    """Adds a condition that must hold before the snapshot is taken."""
    _conditions.append(condition)


def know_loop(loop):
    """Adds a loop that must be in the snapshot even if none of its tasks is."""
    _loops[id(loop)] = weakref.ref(loop)


def loose_thread(thread_name_prefix):
    """For library threads with this name prefix, only the outermost frames are compared."""
    _loose_threads.add(thread_name_prefix)


# --- what the interpreter reports ------------------------------------------------------------------------------------


def _pending_tasks():
    """Strong references to all tasks that must be in the snapshot; the caller drops them at once."""
    found = {}
    places = ["_all_tasks", "_scheduled_tasks", "_eager_tasks"]
    for place in places:
        for one in list(getattr(asyncio.tasks, place, ())):
            found[id(one)] = one
    for loop in [ref() for ref in _loops.values()]:
        if loop is not None:
            for one in asyncio.all_tasks(loop):
                found[id(one)] = one
    for said in list(_announced.values()):
        one = said.task()
        if one is not None:
            found[id(one)] = one
    return [one for one in found.values() if not one.done() or one._log_traceback]


def _is_coroutine_like(thing):
    return isinstance(thing, (types.CoroutineType, types.GeneratorType, types.AsyncGeneratorType))


def _inside(thing):
    """(frame, awaited object) of a coroutine, generator or async generator."""
    for prefix, link in (("cr", "cr_await"), ("gi", "gi_yieldfrom"), ("ag", "ag_await")):
        if hasattr(thing, link):
            return getattr(thing, prefix + "_frame"), getattr(thing, link)
    raise TypeError(type(thing))


# Objects that only forward to a coroutine or async generator, which none of their attributes exposes.
_PASSED_THROUGH = ("coroutine_wrapper", "async_generator_asend", "async_generator_athrow", "anext_awaitable")


def _passed_through(thing):
    for held in gc.get_referents(thing):
        if _is_coroutine_like(held) or type(held).__name__ in _PASSED_THROUGH:
            return held
    return None


def _level(function, code, line):
    return {"function": function, "file": code.co_filename, "line": line}


def _coroutine_level(thing, frame):
    code = frame.f_code
    return _level(getattr(code, "co_qualname", thing.__qualname__), code, frame.f_lineno)


def _frame_level(frame):
    """A frame of a running thread; before 3.11, only the generator object has a qualified name."""
    code = frame.f_code
    name = getattr(code, "co_qualname", None)
    if name is None:
        name = code.co_name
        if code.co_flags & 0x2A0:  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR
            for holder in gc.get_referrers(frame):
                if _is_coroutine_like(holder) and _inside(holder)[0] is frame:
                    name = holder.__qualname__
    return _level(name, code, frame.f_lineno)


def suspended_stack(coroutine):
    """(levels, end), outermost first; the end is None in a future or at a plain yield, otherwise the awaitable's type."""
    levels = []
    thing = coroutine
    while True:
        while type(thing).__name__ in _PASSED_THROUGH:
            thing = _passed_through(thing)
        if thing is None or isinstance(thing, FUTURE) or type(thing).__name__ == "FutureIter":
            return levels, None
        if hasattr(thing, "_asyncio_future_blocking"):
            return levels, None
        if not _is_coroutine_like(thing):
            return levels, type(thing).__name__
        frame, awaited = _inside(thing)
        if frame is None:
            return levels, None
        levels.append(_coroutine_level(thing, frame))
        thing = awaited


def _thread_levels(frame):
    """The frames of a thread, outermost first."""
    levels = []
    while frame is not None:
        levels.append(_frame_level(frame))
        frame = frame.f_back
    return levels[::-1]


def _running_stack(one, innermost):
    """The running task's coroutines and the synchronous frames below them: the inner part of its thread's stack."""
    frames = []
    frame = innermost
    root = _inside(one.get_coro())[0]
    while frame is not None:
        frames.append(_frame_level(frame))
        if frame is root:
            return frames[::-1]
        frame = frame.f_back
    raise RuntimeError("the running task's coroutine is not on this thread's stack")


def _fut_waiter(one):
    return getattr(one, "_fut_waiter", None)


def _state(one, running):
    if one.done():
        return "done"
    if one is running:
        return "running"
    waiter = _fut_waiter(one)
    if VERSION >= (3, 11):
        cancelling = one.cancelling() > 0 or one._must_cancel
    else:
        cancelling = one._must_cancel or (waiter is not None and waiter.cancelled())
    if cancelling:
        return "cancelling"
    if waiter is None or waiter.done():
        return "ready"
    return "waiting"


def _class_name(thing):
    return "%s.%s" % (type(thing).__module__, type(thing).__qualname__)


def _address(of):
    return _labels[of] if isinstance(of, str) else of


def _awaiting(one, state, alive):
    if state in ("running", "ready", "done"):
        return None
    if state == ANY:
        return ANY
    said = _of(one)
    waiter = _fut_waiter(one)
    if state == "cancelling" and (waiter is None or waiter.done()):
        return ANY
    if said.kind is not None:
        tasks = [address for address in (_address(other) for other in said.tasks) if address in alive]
        return {"kind": said.kind, "tasks": sorted(hex(address) for address in set(tasks))}
    if isinstance(waiter, (asyncio.Task, asyncio.tasks._PyTask)):
        return {"kind": "task", "tasks": [hex(id(waiter))]}
    raise AssertionError("%r does not say what it waits for" % (one,))


def _describe_task(one, running, innermost, alive):
    said = _of(one)
    state = said.state or _state(one, running)
    if state == "running":
        stack, end = _running_stack(one, innermost), None
    elif state == "done":
        stack, end = [], None
    else:
        stack, end = suspended_stack(one.get_coro())
    if said.has_end:
        end = said.end
    if said.stack is not None:
        stack = said.stack
    return {
        "id": hex(id(one)),
        "name": _lazy.get(id(one)) or one.get_name(),
        "state": state,
        "loop": hex(id(one.get_loop())),
        "stack": stack,
        "stack_end": end,
        "awaiting": _awaiting(one, state, alive),
        "awaited_by": [],
        "orphaned": None if state == "done" else said.orphaned,
        "may_miss": said.may_miss,
        "optional": said.optional,
        "may_await": sorted(hex(_address(other)) for other in said.owns),
        "may_be_awaited_by": [],
    }


def _check_awaited_by(tasks):
    """Since 3.14 the interpreter records these edges itself; checks that the announced ones agree."""
    recorded_by = getattr(asyncio.futures, "future_add_to_awaited_by", None)
    if recorded_by is None:
        return
    described = {one["id"]: one for one in tasks}
    for one in _pending_tasks():
        if hex(id(one)) not in described:
            continue
        recorded = getattr(one, "_asyncio_awaited_by", None) or ()
        if type(one).__module__ == "asyncio.tasks" and not isinstance(one, asyncio.Task):
            continue  # edges between a pure-Python task and a C future are not recorded
        recorded = {hex(id(other)) for other in recorded if hex(id(other)) in described}
        told = described[hex(id(one))]
        announced = set(told["awaited_by"]) | set(told["may_be_awaited_by"])
        if not recorded <= announced:
            raise AssertionError(
                "%s: the interpreter records awaiters %s, announced are %s"
                % (told["name"], sorted(recorded), sorted(announced))
            )


def describe_tasks(running, innermost, leave_out=None):
    pending = _pending_tasks()
    alive = {id(one) for one in pending if not one.done()}
    tasks = [_describe_task(one, running, innermost, alive) for one in pending if one is not leave_out]
    by_id = {one["id"]: one for one in tasks}
    for one in tasks:
        if isinstance(one["awaiting"], dict):
            for other in one["awaiting"]["tasks"]:
                by_id[other]["awaited_by"].append(one["id"])
        for other in one["may_await"]:
            by_id[other]["may_be_awaited_by"].append(one["id"])
    _check_awaited_by(tasks)
    return sorted(tasks, key=lambda one: one["name"])


def _native_id(ident):
    for thread in threading.enumerate():
        if thread.ident == ident:
            return thread.native_id
    return None


def _timers_when_parked(loop):
    """Timers in the heap after the loop has dropped the cancelled ones at its top, just before it enters its selector."""
    heap = list(loop._scheduled)
    while heap and heap[0]._cancelled:
        heapq.heappop(heap)
    return len(heap)


def _describe_loops(running):
    loops = []
    for loop in [ref() for ref in _loops.values()]:
        if loop is None or loop.is_closed():
            continue
        ident = getattr(loop, "_thread_id", None)
        current = running if running is not None and running.get_loop() is loop else None
        loops.append(
            {
                "id": hex(id(loop)),
                "type": _class_name(loop),
                "thread": None if ident is None else _native_id(ident),
                "running_task": None if current is None else hex(id(current)),
                "ready": len(loop._ready),
                "scheduled": _timers_when_parked(loop),
            }
        )
    return loops


def _in_selector(levels):
    """The stack this thread will have in its selector: the same up to `run_forever`, then two frames at the lines of
    their calls, which are not compared."""
    for index in range(len(levels) - 1, -1, -1):
        if levels[index]["function"].split(".")[-1] == "_run_once":
            kept = levels[: index + 1]
            kept[-1]["line"] = None
            select = type(asyncio.get_event_loop()._selector).select.__code__
            return kept + [_level(getattr(select, "co_qualname", select.co_name), select, None)]
    raise RuntimeError("this is not called by an event loop")


def _describe_threads(here):
    frames = sys._current_frames()
    threads = []
    for thread in threading.enumerate():
        if thread.ident == threading.get_ident():
            stack, complete = here, True
        else:
            stack, complete = _thread_levels(frames.get(thread.ident)), True
            if any(thread.name.startswith(prefix) for prefix in _loose_threads):
                stack, complete = stack[:2], False
        threads.append({"native_id": thread.native_id, "name": thread.name, "stack": stack, "complete": complete})
    return threads


def _document(here, running, innermost, extra):
    document = {
        "program": os.path.basename(sys.argv[0]),
        "python": {
            "version": "%d.%d.%d" % sys.version_info[:3],
            "free_threaded": "t" in sys.abiflags,
        },
        "tasks": describe_tasks(running, innermost),
        "loops": _describe_loops(running),
        "threads": _describe_threads(here),
    }
    document.update(extra)
    return document


# --- settling --------------------------------------------------------------------------------------------------------


def _restless(conditions):
    """Why this thread's loop has not settled yet, or None if nothing in it can run."""
    loop = asyncio.get_event_loop()
    if len(loop._ready) > 0:
        return "callbacks are ready"
    current = asyncio.current_task(loop)
    for one in asyncio.all_tasks(loop):
        if one is current:
            continue
        waiter = _fut_waiter(one)
        if waiter is None or waiter.done():
            return "%r is ready" % (one,)
    for condition in _conditions if conditions else ():
        if not condition():
            return "a condition of the program does not hold: %r" % (condition,)
    for thread in threading.enumerate():
        if any(thread.name.startswith(prefix) for prefix in _loose_threads):
            if len(_thread_levels(sys._current_frames().get(thread.ident))) < 3:
                return "thread %r has not begun" % (thread.name,)
    return None


def _patient(why):
    global _started
    _started = _started or time.monotonic()
    if time.monotonic() - _started > PATIENCE_S:
        sys.stderr.write("not at rest after %d s: %s\n" % (PATIENCE_S, why))
        sys.stderr.flush()
        os._exit(3)


def settle_then(callback, conditions=False):
    """Calls `callback` from this thread's event loop once it has settled (and, with `conditions`, those hold)."""
    loop = asyncio.get_event_loop()
    know_loop(loop)

    quiet = 0

    def poll():
        nonlocal quiet
        why = _restless(conditions)
        quiet = 0 if why else quiet + 1
        if quiet == QUIET_PASSES:
            callback()
        else:
            _patient(why)
            loop.call_soon(poll)

    loop.call_soon(poll)


async def settle():
    """Returns when no task except the calling one can run."""
    know_loop(asyncio.get_event_loop())
    await asyncio.sleep(0)
    quiet = 0
    while quiet < QUIET_PASSES:
        why = _restless(True)
        quiet = 0 if why else quiet + 1
        _patient(why)
        await asyncio.sleep(0)


def write_document(document):
    text = json.dumps(document)
    if len(sys.argv) > 1:
        with open(sys.argv[1] + ".part", "w") as out:
            out.write(text)
        os.replace(sys.argv[1] + ".part", sys.argv[1])
    else:
        print(text)


def _picture(extra):
    here = _in_selector(_thread_levels(sys._getframe()))
    asyncio.get_event_loop().add_reader(0, lambda: os._exit(0))
    write_document(_document(here, None, None, extra))
    sys.stdout.write("ready\n")
    sys.stdout.flush()


def _fail(error):
    import traceback

    traceback.print_exception(type(error), error, error.__traceback__)
    sys.stderr.flush()
    os._exit(4)


def watch(**extra):
    """Takes the snapshot once the loop has settled, whatever the calling task does until then."""

    def picture():
        try:
            _picture(extra)
        except BaseException as error:
            _fail(error)

    settle_then(picture, conditions=True)


async def park(**extra):
    """How most programs end: takes the snapshot and makes the calling task await a future forever."""
    watch(**extra)
    waits("future")
    await asyncio.get_event_loop().create_future()


def marked_line(function, mark):
    """The line of `function` that ends with the comment `# mark`."""
    code = function.__code__
    line = code.co_firstlineno
    while not linecache.getline(code.co_filename, line).rstrip().endswith("# " + mark):
        line += 1
        if line > code.co_firstlineno + 500:
            raise LookupError(mark)
    return line


def park_blocking(**extra):
    """Takes the snapshot of a thread that is blocked here, in a read, called from a callback or a task's step."""
    loop = asyncio.get_event_loop()
    know_loop(loop)
    try:
        frame = sys._getframe()
        line = marked_line(park_blocking, "parked here")
        here = _thread_levels(frame)
        here[-1]["line"] = line
        running = asyncio.current_task(loop)
        document = _document(here, running, frame, extra)
        for one in document["tasks"]:
            if one["state"] == "running":
                one["stack"][-1]["line"] = line
        write_document(document)
        del running, frame, document
    except BaseException as error:
        _fail(error)
    os.write(1, b"ready\n")
    os.read(0, 1)  # parked here
    os._exit(0)


def thread_stands_in(thread, function, mark="parked here"):
    """Whether a thread's innermost Python frame is at the marked line of a function."""
    frame = sys._current_frames().get(thread.ident)
    return (
        frame is not None and frame.f_code is function.__code__ and frame.f_lineno == marked_line(function, mark)
    )


def _allow_readers():
    """If Yama lets only ancestors read a process (ptrace_scope 1), permits every process to read this one."""
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as scope:
            if scope.read().strip() != "1":
                return
        import ctypes

        pr_set_ptracer, anybody = 0x59616D61, ctypes.c_ulong(-1)
        ctypes.CDLL(None).prctl(pr_set_ptracer, anybody, 0, 0, 0)
    except (OSError, ImportError, AttributeError):
        pass


def run(main, **options):
    """Runs a program's main coroutine function, without garbage collection: garbage tasks stay for the snapshot."""
    gc.collect()
    gc.disable()
    _allow_readers()
    asyncio.run(main(), **options)
