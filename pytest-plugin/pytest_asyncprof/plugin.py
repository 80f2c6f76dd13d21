"""The pytest hooks: options, when to record, and which phase of which test fails.

To judge a phase, the recording is cut: it is stopped and read, and a new one starts, which takes a few milliseconds.
A phase shorter than any stall its budget forbids needs no cut, because no such stall fits into it.
"""

import functools
import inspect
import os
import shutil
import tempfile
import threading
import time

import pytest
from _pytest._code.code import ReprEntryNative, ReprExceptionInfo, ReprFileLocation, ReprTraceback

from . import judge
from .budget import DEFAULT_STALL_S, Budget, BudgetError, budget_of, parse_length, parse_limit
from .recorder import Recorder, RecorderError, find_binary

_HELP = {
    "max_stall": "Fail a test if a stall of its event loop is longer than this, e.g. 100ms",
    "max_stalls": "Fail a test if its event loop stalls more than this many times",
    "max_orphans": "Fail a test if it leaves more than this many orphaned tasks",
}
#: LIMIT: number of tests listed in the summary.
_LISTED = 10


def pytest_addoption(parser):
    group = parser.getgroup("asyncprof", "asyncprof: what blocks the event loop")
    group.addoption("--asyncprof", action="store_true",
                    help="Record the session from outside with asyncprof; fail tests that exceed their budget")
    group.addoption("--asyncprof-binary", metavar="PROGRAM",
                    help="Path of asyncprof (default: the variable ASYNCPROF, then PATH)")
    group.addoption("--asyncprof-output", metavar="DIR", help="Keep the recordings in this folder")
    group.addoption("--asyncprof-stall", metavar="TIME",
                    help="Count a loop as stalled if blocked for this long or longer (ini: asyncprof_stall; 100ms)")
    parser.addini("asyncprof_stall", "Count a loop as stalled if blocked for this long or longer")
    for key, text in _HELP.items():
        group.addoption("--asyncprof-" + key.replace("_", "-"), metavar="TIME" if key == "max_stall" else "N",
                        help=f"{text}; a test's own marker overrides this (ini: asyncprof_{key})")
        parser.addini("asyncprof_" + key, text)


def pytest_configure(config):
    config.addinivalue_line(
        "markers",
        "asyncprof(max_stall, max_stalls, max_orphans): limits for the test's event loop, enforced with --asyncprof",
    )
    if not config.getoption("asyncprof") or config.getoption("collectonly", False):
        return
    try:
        stall_s = parse_length(_setting(config, "stall") or DEFAULT_STALL_S, "asyncprof_stall")
        defaults = {key: parse_limit(key, _setting(config, key), f"asyncprof_{key}") for key in Budget.KEYS}
        binary = find_binary(config.getoption("asyncprof_binary"))
    except (BudgetError, RecorderError) as error:
        raise pytest.UsageError(f"asyncprof: {error}")
    output = config.getoption("asyncprof_output")
    if output:
        os.makedirs(output, exist_ok=True)
    is_controller = config.getoption("dist", "no") != "no" and not hasattr(config, "workerinput")
    plugin = Controller() if is_controller else Watch(config, binary, output, stall_s, defaults)
    config.pluginmanager.register(plugin, "asyncprof-session")


def _setting(config, key):
    value = config.getoption("asyncprof_" + key)
    return value if value is not None else (config.getini("asyncprof_" + key) or None)


class BudgetExceeded(Exception):
    """A test exceeded its budget, or could not be judged."""

    def __init__(self, lines, short, site=None):
        super().__init__("\n".join(lines))
        self.lines = lines
        self.short = short
        self.site = site

    def longrepr(self, item):
        """The failure in pytest's own form, which survives xdist and puts the message into the short summary."""
        path = self.site["file"] if self.site else str(item.path)
        crash = ReprFileLocation(path, (self.site or {}).get("line") or 0, self.short)
        entry = ReprEntryNative([line + "\n" for line in self.lines])
        return ReprExceptionInfo(reprcrash=crash, reprtraceback=ReprTraceback([entry], None, "native"))


class Window:
    """The state of the running test."""

    def __init__(self, item, budget):
        self.budget = budget
        self.is_coroutine = inspect.iscoroutinefunction(getattr(item, "obj", None))
        markers = list(item.iter_markers("asyncprof"))
        self.is_marked = bool(markers)
        #: Whether its own markers, not just the session's settings, limit orphans.
        self.asks_for_orphans = budget.max_orphans is not None and any("max_orphans" in m.kwargs for m in markers)
        #: Start of the setup, CLOCK_MONOTONIC, in nanoseconds.
        self.start_ns = time.monotonic_ns()
        #: Start of the part not judged yet.
        self.unjudged_ns = self.start_ns
        #: Orphans at the end of the body; None if not checked.
        self.orphans = None
        #: Why the test could not be judged.
        self.trouble = None


class Results:
    """The data of the summary; xdist's workers send theirs as plain data."""

    def __init__(self):
        #: (test, stall) pairs, in the order of the tests.
        self.stalls = []
        self.notes = []
        self.saw_loop = False

    def as_data(self):
        return {"stalls": self.stalls, "notes": self.notes, "saw_loop": self.saw_loop}

    def add(self, data):
        self.stalls += [tuple(pair) for pair in data["stalls"]]
        self.notes += [note for note in data["notes"] if note not in self.notes]
        self.saw_loop |= data["saw_loop"]

    def write(self, terminal):
        terminal.section("asyncprof")
        for note in self.notes:
            terminal.line(f"note: {note}")
        if not self.saw_loop:
            terminal.line("no event loop was seen in the process of the tests; a very short-lived one can be missed")
            return
        by_test = {}
        for test, stall in self.stalls:
            by_test.setdefault(test, []).append(stall)
        if not by_test:
            terminal.line("no stalls")
            return
        terminal.line(f"{judge.plural(len(self.stalls), 'stall')} in {judge.plural(len(by_test), 'test')}")
        worst_first = sorted(by_test.items(), key=lambda pair: -max(stall["duration_ms"] for stall in pair[1]))
        for test, stalls in worst_first[:_LISTED]:
            worst = max(stalls, key=lambda stall: stall["duration_ms"])
            more = f" (and {len(stalls) - 1} more)" if len(stalls) > 1 else ""
            terminal.line(f"{test}{more}")
            terminal.line(f"  {judge.summary_line(worst)}")
        if len(worst_first) > _LISTED:
            terminal.line(f"… and {len(worst_first) - _LISTED} more tests")


class Controller:
    """For xdist's controller, which runs no tests: reports what the workers found."""

    def __init__(self):
        self.results = Results()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node, error):
        data = getattr(node, "workeroutput", {}).get("asyncprof")
        if data:
            self.results.add(data)

    def pytest_terminal_summary(self, terminalreporter):
        self.results.write(terminalreporter)


class Watch:
    """Records this process while it runs tests."""

    def __init__(self, config, binary, output, stall_s, defaults):
        self.config = config
        self.binary = binary
        self.output = output
        self.folder = None
        self.stall_s = stall_s
        self.defaults = defaults
        self.budgets = {}
        self.recorder = None
        self.window = None
        #: (test, start, end) of the windows since the recording started, for the summary.
        self.windows = []
        #: Reports of recordings stopped before their test was judged.
        self.unread = []
        self.results = Results()

    def pytest_collection_finish(self, session):
        try:
            for item in session.items:
                self.budgets[item.nodeid] = budget_of(item.iter_markers("asyncprof"), self.defaults)
        except BudgetError as error:
            raise pytest.UsageError(f"asyncprof: {item.nodeid}: {error}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session):
        if not session.items:
            return
        limits = [budget.shortest_stall(self.stall_s) for budget in self.budgets.values()]
        shortest = min([self.stall_s] + [limit for limit in limits if limit is not None])
        self.folder = self.output or tempfile.mkdtemp(prefix="pytest-asyncprof-")
        worker = getattr(self.config, "workerinput", {}).get("workerid")
        prefix = f"pytest-{os.getpid()}" + (f"-{worker}" if worker else "")
        self.recorder = Recorder(self.binary, os.path.abspath(self.folder), prefix, shortest)
        try:
            self.recorder.start()
        except RecorderError as error:
            raise pytest.UsageError(str(error))

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item):
        self.window = Window(item, self.budgets[item.nodeid])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item):
        window = self.window
        if window.budget.max_orphans is not None and window.is_coroutine:
            # pytest-asyncio and anyio both run the function they find here, in a loop of their own.
            item.obj = self.finding_orphans(item.obj, window)

    def finding_orphans(self, function, window):
        """Wraps a test to find orphans when its body ends, while its loop still exists."""

        @functools.wraps(function)
        async def test(*args, **kwargs):
            # A loop with a wider scope may hold orphans of other tests.
            before = self.find_orphans(window) if _has_other_tasks() else {}
            result = await function(*args, **kwargs)
            after = self.find_orphans(window)
            if before is not None and after is not None:
                window.orphans = [orphan for task, orphan in after.items() if task not in before]
            return result

        return test

    def find_orphans(self, window):
        """Orphaned tasks by id, None if unknown. Blocks the event loop, so that no task runs meanwhile."""
        try:
            if not self.recorder.one_at_a_time:
                dump = self.recorder.dump()
            else:
                try:
                    self.unread.append(self.end())
                    dump = self.recorder.dump()
                finally:
                    self.recorder.start()
            orphans = judge.orphans_of(dump, threading.get_native_id())
            if orphans is None:
                window.trouble = "asyncprof found no asyncio event loop running the test, so its orphans are unknown"
            return orphans
        except RecorderError as error:
            window.trouble = str(error)
            return None

    @pytest.hookimpl(hookwrapper=True, tryfirst=True)
    def pytest_runtest_makereport(self, item, call):
        exceeded = None
        if call.when != "setup" and self.window is not None:
            exceeded = self.judge(item, call.when, call.excinfo is not None)
            if exceeded is not None and call.excinfo is None:
                try:
                    raise exceeded
                except BudgetExceeded:
                    call.excinfo = pytest.ExceptionInfo.from_current()
        outcome = yield
        report = outcome.get_result()
        if exceeded is None:
            return
        if call.excinfo.value is exceeded:
            if report.failed:
                report.longrepr = exceeded.longrepr(item)
        else:
            # The test failed by itself; the stalls may be the reason.
            report.sections.append(("asyncprof", "\n".join(exceeded.lines)))

    def judge(self, item, when, failed):
        """How a test exceeded its budget since it was last judged, or None."""
        window, now = self.window, time.monotonic_ns()
        since, window.unjudged_ns = window.unjudged_ns, now
        budget, trouble = window.budget, window.trouble
        window.trouble = None
        self.windows = [one for one in self.windows if one[1] != window.start_ns] + [(item.nodeid, window.start_ns, now)]
        shortest = budget.shortest_stall(self.stall_s)
        stalls, recording = [], None
        if shortest is not None and (now - since) / 1e9 >= shortest:
            recording = self.recorder.path if self.output else None
            try:
                reports = self.cut()
                stalls = [stall for report in reports for stall in judge.stalls_of(report)]
                stalls = [stall for stall in stalls if judge.overlaps(stall, since, now)]
                stalls.sort(key=lambda stall: -stall["duration_ms"])
                expects_loop = window.is_marked and window.is_coroutine and when == "call"
                if expects_loop and not any(report["loops"] for report in reports):
                    trouble = "no event loop was seen; asyncio's own loops and uvloop are supported"
            except RecorderError as error:
                trouble = str(error)
            if stalls:
                item.user_properties.append(("asyncprof_longest_stall_ms", stalls[0]["duration_ms"]))
        orphans, window.orphans = window.orphans, None
        if window.asks_for_orphans and when == "call" and orphans is None and trouble is None:
            trouble = "max_orphans needs a coroutine test that pytest-asyncio or anyio runs (async def)"
        found = judge.violations(budget, stalls, orphans, self.stall_s)
        if found:
            things = found[0][1]
            return BudgetExceeded(judge.explain(found, recording), found[0][0], things[0]["site"])
        if trouble and not failed:
            short = "asyncprof: the test could not be judged: " + trouble.strip().splitlines()[0]
            return BudgetExceeded([f"asyncprof: the test could not be judged: {trouble}"], short)
        return None

    def cut(self):
        """Stops the recording and starts the next; returns one report per recording since the last cut."""
        try:
            self.unread.append(self.end())
        finally:
            self.recorder.start()
        reports, self.unread = self.unread, []
        return reports

    def end(self):
        """Stops the recording, keeps its stalls for the summary and returns its report."""
        if not self.recorder.is_running():
            raise RecorderError("asyncprof was not recording, because it could not restart after the last test")
        recording = self.recorder.path
        report = self.recorder.stop()
        self.forget(recording)
        self.keep(report)
        return report

    def forget(self, recording):
        """Deletes a recording that was read, unless --asyncprof-output keeps it."""
        for path in [recording + ".log"] + ([] if self.output else [recording]):
            try:
                os.remove(path)
            except OSError:
                pass

    def keep(self, report):
        self.results.saw_loop |= bool(report["loops"])
        for stall in judge.stalls_of(report):
            # "between tests": fixtures with a wider scope, or the end of the session.
            tests = [test for test, start, end in self.windows if judge.overlaps(stall, start, end)] or ["between tests"]
            for test in tests:
                self.results.stalls.append((test, stall))
        sampling = report["sampling"]
        if sampling["lowered_rate"] and report["loops"]:
            note = ("asyncprof lowered its sampling rate to stay within its CPU budget: "
                    f"stalls below {judge.length(sampling['shortest_stall_ms'])} may have been missed")
            self.results.notes = [note]
        self.windows = [one for one in self.windows if self.window is not None and one[1] == self.window.start_ns]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self):
        if self.recorder is not None and self.recorder.is_running():
            try:
                self.end()
            except RecorderError as error:
                self.results.notes.append(str(error))
        if self.folder and not self.output:
            shutil.rmtree(self.folder, ignore_errors=True)
        if hasattr(self.config, "workeroutput"):
            self.config.workeroutput["asyncprof"] = self.results.as_data()

    def pytest_terminal_summary(self, terminalreporter):
        if self.recorder is not None:
            self.results.write(terminalreporter)


def _has_other_tasks():
    """Whether the test's loop has tasks besides the test itself."""
    import asyncio

    try:
        return len(asyncio.all_tasks()) > 1
    except RuntimeError:
        # Not an asyncio loop: trio, under anyio.
        return False
