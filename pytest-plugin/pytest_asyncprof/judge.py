"""Checks stalls and orphans against a budget and formats the result. Pure: no pytest, processes or clock."""

import os

#: Causes that are the machine's, not the test's: shown, but they never fail a test.
MACHINE_CAUSES = ("cpu_starved", "suspended")
#: LIMIT: stalls or orphans shown per failure; more would not help to find the cause.
SHOWN = 5

_OURS = os.path.dirname(os.path.abspath(__file__))


def stalls_of(report):
    """The stalls of a report, longest first, without duplicates and without those the plugin itself causes."""
    longest = {}
    for stall in report["stalls"]:
        if is_ours(stall):
            continue
        # The last stall of a loop that was closed can appear twice: as measured, and as still open when last seen.
        key = (stall["start_ns"], stall.get("thread"))
        if key not in longest or longest[key]["duration_ms"] < stall["duration_ms"]:
            longest[key] = stall
    return sorted(longest.values(), key=lambda stall: -stall["duration_ms"])


def is_ours(stall):
    """Whether the plugin blocked the loop to find orphans at the end of a test's body."""
    return any(frame["function"].split(".")[-1] == "find_orphans" and os.path.dirname(frame["file"]) == _OURS
               for frame in stall["stack"])


def overlaps(stall, start_ns, end_ns):
    """Whether a stall overlaps a window of CLOCK_MONOTONIC."""
    return stall["start_ns"] <= end_ns and stall["start_ns"] + stall["duration_ms"] * 1e6 >= start_ns


def is_judged(stall):
    return stall["cause"] not in MACHINE_CAUSES


def violations(budget, stalls, orphans, stall_s):
    """The limits exceeded: a (sentence, stalls or orphans to show) pair for each."""
    found = []
    judged = [stall for stall in stalls if is_judged(stall)]
    if budget.max_stall is not None:
        beyond = [stall for stall in judged if stall["duration_ms"] > budget.max_stall * 1e3]
        if beyond:
            worst = beyond[0]
            found.append((
                f"{place(worst['site'])} blocked the event loop for {length(worst['duration_ms'])}, "
                f"{length(budget.max_stall * 1e3)} allowed (max_stall)", beyond))
    if budget.max_stalls is not None:
        counted = [stall for stall in judged if stall["duration_ms"] >= stall_s * 1e3]
        if len(counted) > budget.max_stalls:
            found.append((
                f"{plural(len(counted), 'stall')} of {length(stall_s * 1e3)} or more, {budget.max_stalls} allowed "
                f"(max_stalls); the longest at {place(counted[0]['site'])}", counted))
    if budget.max_orphans is not None and orphans is not None and len(orphans) > budget.max_orphans:
        found.append((
            f"{plural(len(orphans), 'orphaned task')}, {budget.max_orphans} allowed (max_orphans): "
            f"{orphans[0]['name']} at {place(orphans[0]['site'])}", orphans))
    return found


def orphans_of(dump, thread):
    """Orphaned tasks by id, of the loop running in a thread (native id); None if the dump has no such loop.

    Other loops do not count: an earlier test may have closed one with tasks in it, which live until they are collected.
    """
    running = [loop["id"] for loop in dump["loops"] if loop["thread"] == thread and loop["running_task"] is not None]
    if not running:
        return None
    orphans = {}
    advice = next((finding["advice"] for finding in dump["findings"] if finding["rule"] == "orphaned-task"), "")
    for task in dump["tasks"]:
        if task["orphaned"] and task["loop"] in running:
            stack = task["stack"]
            # The task's own coroutine, not the library function it waits in.
            site = stack[0] if stack else {"function": "?", "file": "?", "line": None}
            orphans[task["id"]] = {"name": clean(task["name"] or "a task"), "site": site, "advice": advice}
    return orphans


def explain(found, recording=None):
    """The lines of a failure message."""
    lines, shown, advised = [], [], set()
    for sentence, _ in found:
        lines.append(f"asyncprof: {sentence}")
    for _, things in found:
        for thing in things[:SHOWN]:
            if thing not in shown:
                shown.append(thing)
                lines.extend("  " + line for line in describe(thing, advised))
        if len(things) > SHOWN:
            lines.append(f"  … and {len(things) - SHOWN} more")
    if recording:
        lines.append(f"  for details: asyncprof report {recording}")
    return lines


def describe(thing, advised):
    """The lines for a stall or an orphan; advice already in ``advised`` is left out."""
    if "duration_ms" in thing:
        yield summary_line(thing)
        for frame in thing["stack"][-4:]:
            yield f"    {clean(frame['function'])} ({place(frame)})"
    else:
        yield f"orphaned task {thing['name']}: {clean(thing['site']['function'])} ({place(thing['site'])})"
    if thing["advice"] and thing["advice"] not in advised:
        advised.add(thing["advice"])
        yield f"    {clean(thing['advice'])}"


def summary_line(stall):
    """A stall in one line."""
    cause = stall["cause"].replace("_", " ")
    detail = f" ({clean(stall['cause_detail'])})" if stall["cause_detail"] else ""
    task = f", task {clean(stall['task'])}" if stall["task"] else ""
    judged = "" if is_judged(stall) else " [caused by the machine, does not count]"
    return (f"{length(stall['duration_ms']):>7}  {place(stall['site'])} in {clean(stall['site']['function'])}: "
            f"{cause}{detail}{task}{judged}")


def place(frame):
    """``file:line``; the file is relative to the current folder if it is inside it."""
    file = frame["file"]
    try:
        below = os.path.relpath(file)
        file = below if os.path.isabs(file) and not below.startswith(os.pardir) else file
    except (OSError, ValueError):
        pass
    return clean(file) if frame["line"] is None else f"{clean(file)}:{frame['line']}"


def length(milliseconds):
    """A duration for humans: three digits and a unit.

    >>> [length(milliseconds) for milliseconds in (1.04, 9.94, 9.96, 999.4, 999.6, 61_234)]
    ['1.0 ms', '9.9 ms', '10 ms', '999 ms', '1.00 s', '61.23 s']
    """
    # Rounded first: what rounds up to the next unit is shown in that unit.
    if round(milliseconds) >= 1000:
        return f"{milliseconds / 1e3:.2f} s"
    return f"{milliseconds:.0f} ms" if round(milliseconds, 1) >= 10 else f"{milliseconds:.1f} ms"


def plural(count, noun):
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def clean(text):
    """Escapes names from the observed program, so that no control characters reach the terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))
