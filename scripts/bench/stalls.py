"""Compares the stalls in a report with those that tests/programs/stalls really had."""

import json
import os
from dataclasses import dataclass, field

THRESHOLD_MS = 100
# A stall at least this long must be found.
MUST_REPORT_MS = 110
# A shorter stall must not be reported. In between, asyncprof may see an iteration that starts a little earlier.
MUST_NOT_REPORT_MS = 97
# Tolerance of a length, for its lower and its upper bound.
TOLERANCE_MS = 3
# A thread that waited for a CPU for this share of a stall was also starved.
STARVED_SHARE = 0.3


@dataclass
class Judged:
    """A real stall and what was reported for it."""

    # With its place, unless that is a task's step.
    kind: str
    expected: list
    ms: float
    reported: dict = None
    cause_right: bool = None
    site_right: bool = None
    # True too where the truth names no task to ask for.
    task_right: bool = None
    place: str = "step"
    # Errors of the reported lower and upper bound, in milliseconds.
    least_off: float = None
    most_off: float = None

    @property
    def must_be_found(self):
        return self.ms >= MUST_REPORT_MS

    @property
    def length_right(self):
        return max(abs(self.least_off), abs(self.most_off)) <= TOLERANCE_MS


@dataclass
class Verdict:
    stalls: list = field(default_factory=list)
    # Reported, but there was no stall, or too short a one.
    invented: list = field(default_factory=list)
    # Reported where the machine itself kept the loop from running: neither right nor wrong.
    unplanned: list = field(default_factory=list)
    skipped: dict = field(default_factory=dict)

    def add(self, other):
        self.stalls += other.stalls
        self.invented += other.invented
        self.unplanned += other.unplanned
        self.skipped.update(other.skipped)

    @property
    def required(self):
        return [stall for stall in self.stalls if stall.must_be_found]

    @property
    def missed(self):
        return [stall for stall in self.required if stall.reported is None]

    @property
    def found(self):
        return [stall for stall in self.required if stall.reported is not None]

    def share(self, name):
        """The share of the found stalls for which the property `name` holds."""
        return sum(getattr(stall, name) for stall in self.found) / len(self.found) if self.found else None


def read_truth(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def is_complete(truth):
    return any(entry["is"] == "end" for entry in truth)


def end_ns(reported):
    length = reported["duration_ms"]
    if reported.get("duration_ms_at_most") is not None:
        length = (length + reported["duration_ms_at_most"]) / 2
    return reported["start_ns"] + length * 1e6


def overlap_ns(entry, reported):
    ends, starts = entry.get("latest_ns", entry["end_ns"]), entry.get("earliest_ns", entry["start_ns"])
    return min(ends, end_ns(reported)) - max(starts, reported["start_ns"])


def judge(truth, reported):
    """Compares the truth with `reported`, the stalls of a report."""
    verdict = Verdict()
    stalls = [entry for entry in truth if entry["is"] == "stall"]
    verdict.skipped = {entry["kind"]: entry["why"] for entry in truth if entry["is"] == "skipped"}
    of = {id(entry): [] for entry in stalls}
    for one in reported:
        best = max(stalls, key=lambda entry: overlap_ns(entry, one), default=None)
        if best is not None and overlap_ns(best, one) > 0 and longest_ms(best) >= MUST_NOT_REPORT_MS:
            of[id(best)].append(one)
        elif any(entry["is"] == "unplanned" and overlap_ns(entry, one) > 0 for entry in truth):
            verdict.unplanned.append(one)
        else:
            verdict.invented.append(one)
    for entry in stalls:
        longest_first = sorted(of[id(entry)], key=lambda one: -one["duration_ms"])
        verdict.stalls.append(compared(entry, longest_first[0] if longest_first else None))
        # One stall reported as several.
        verdict.invented += longest_first[1:]
    return verdict


def length_ms(entry):
    """Lower bound of the real length."""
    return (entry["end_ns"] - entry["start_ns"]) / 1e6


def longest_ms(entry):
    """Upper bound of the real length."""
    return (entry["latest_ns"] - entry["earliest_ns"]) / 1e6


def compared(entry, reported):
    place = entry.get("place", "step")
    kind = entry["kind"] if place == "step" else "%s, %s" % (entry["kind"], place)
    judged = Judged(kind, entry["causes"], length_ms(entry), reported, place=place)
    if reported is None:
        return judged
    most = reported.get("duration_ms_at_most")
    longest = longest_ms(entry)
    judged.least_off = outside(reported["duration_ms"], judged.ms, longest)
    judged.most_off = outside(reported["duration_ms"] if most is None else most, judged.ms, longest)
    starved = entry["starved_ns"] > STARVED_SHARE * judged.ms * 1e6
    judged.cause_right = reported["cause"] in entry["causes"] or (starved and reported["cause"] == "cpu_starved")
    judged.site_right = any(is_at(reported.get("site"), site) for site in entry["sites"])
    judged.task_right = "task" not in entry or reported.get("task") == entry["task"]
    return judged


def outside(ms, least, most):
    """Distance of a length from the range of possible lengths."""
    return min(ms - least, 0) + max(ms - most, 0)


def is_at(site, expected):
    if not site or not site.get("function"):
        return False
    # A qualified name ends with the plain one.
    function = site["function"].rsplit(".", 1)[-1]
    same_file = os.path.basename(site["file"]) == os.path.basename(expected["file"])
    return function == expected["function"] and same_file and site["line"] in expected["lines"]


# Human-readable output


def confusion(stalls):
    """The confusion matrix: a row per kind, a column per reported cause."""
    causes = sorted({stall.reported["cause"] if stall.reported else "missed" for stall in stalls})
    rows = {}
    for stall in stalls:
        row = rows.setdefault((stall.kind, "/".join(stall.expected)), dict.fromkeys(causes, 0))
        row[stall.reported["cause"] if stall.reported else "missed"] += 1
    width = max([len(cause) for cause in causes] + [6]) + 2
    lines = ["  %-24s %-22s" % ("kind", "expected") + "".join(cause.rjust(width) for cause in causes)]
    for (kind, expected), row in sorted(rows.items()):
        counts = "".join(str(row[cause] or ".").rjust(width) for cause in causes)
        lines.append("  %-24s %-22s%s" % (kind, expected, counts))
    return "\n".join(lines)


def by_place(verdict):
    """A line for each place: how many stalls were found, and how many of them rightly described."""
    for place in dict.fromkeys(stall.place for stall in verdict.required):
        required = [stall for stall in verdict.required if stall.place == place]
        found = [stall for stall in required if stall.reported is not None]
        right = [sum(getattr(stall, name) for stall in found) for name in ("cause_right", "site_right", "task_right")]
        yield "%-18s %3d of %3d found; cause %d, location %d, task %d" % (place, len(found), len(required), *right)


def faults(verdict):
    """A line for every deviation."""
    for stall in verdict.missed:
        yield "missed    %-24s %7.1f ms" % (stall.kind, stall.ms)
    for one in verdict.invented:
        yield "invented  %s" % described(one)
    for stall in verdict.found:
        if not stall.cause_right:
            yield "cause     %-24s %7.1f ms: %s" % (stall.kind, stall.ms, described(stall.reported))
        if not stall.site_right:
            yield "location  %-24s %7.1f ms: %s" % (stall.kind, stall.ms, described(stall.reported))
        if not stall.task_right:
            yield "task      %-24s %7.1f ms: %s, %s" % (stall.kind, stall.ms, stall.reported.get("task"), described(stall.reported))
        if not stall.length_right:
            yield "length    %-24s %7.1f ms: at least %+.1f, at most %+.1f" % (stall.kind, stall.ms, stall.least_off, stall.most_off)


def described(one):
    site = one.get("site") or {}
    place = "%s:%s" % (site.get("function"), site.get("line"))
    return "%s (%s) %.1f ms at %s, evidence %s" % (one["cause"], one.get("cause_detail"), one["duration_ms"], place, json.dumps(one.get("evidence")))


# Self-test


def check_itself():
    """Tests the comparison: one that accepts everything would let every detector pass."""
    site = {"function": "sleeps", "file": "/p.py", "lines": [7]}

    def stall(start, length, kind="sleep"):
        entry = {"is": "stall", "kind": kind, "causes": ["blocking_call"], "starved_ns": 0, "sites": [site]}
        begins, ends = int(start * 1e6), int((start + length) * 1e6)
        return dict(entry, start_ns=begins, end_ns=ends, earliest_ns=begins, latest_ns=ends)

    def reported(start, length, cause="blocking_call", line=7, function="sleeps"):
        at = {"function": function, "file": "/p.py", "line": line}
        return {"start_ns": int(start * 1e6), "duration_ms": length, "duration_ms_at_most": length + 1, "cause": cause, "site": at}

    truth = [stall(1000, 200), stall(2000, 50), stall(3000, 103), {"is": "unplanned", "start_ns": int(4e9), "end_ns": int(4.2e9)}]
    right = judge(truth, [reported(1000, 200)])
    assert not right.missed and not right.invented and right.share("length_right") == 1, right
    assert right.share("cause_right") == right.share("site_right") == 1, right
    assert len(judge(truth, []).missed) == 1
    assert len(judge(truth, [reported(1000, 200), reported(2000, 101)]).invented) == 1, "it was 50 ms"
    assert len(judge(truth, [reported(1000, 200), reported(3000, 103)]).invented) == 0, "near the threshold either is right"
    assert len(judge(truth, [reported(1000, 200), reported(5000, 150)]).invented) == 1, "there was no stall"
    assert len(judge(truth, [reported(1000, 200), reported(4000, 150)]).unplanned) == 1, "caused by the machine"
    assert len(judge(truth, [reported(1000, 90), reported(1100, 100)]).invented) == 1, "one stall, reported twice"
    assert judge(truth, [reported(1000, 190)]).share("length_right") == 0
    assert judge(truth, [reported(1000, 200, cause="cpu")]).share("cause_right") == 0
    assert judge(truth, [reported(1000, 200, line=8)]).share("site_right") == 0
    assert judge(truth, [reported(1000, 200, function="main")]).share("site_right") == 0
    assert judge(truth, [dict(reported(1000, 200), task="Task-2")]).share("task_right") == 1, "none is asked for"
    for asked, told, share in (("Task-1", "Task-1", 1), ("Task-1", "Task-2", 0), ("Task-1", None, 0), (None, "Task-1", 0)):
        in_task = dict(stall(1000, 200), task=asked, place="handler")
        verdict = judge([in_task], [dict(reported(1000, 200), task=told)])
        assert verdict.share("task_right") == share, (asked, told)
        assert list(by_place(verdict)) == ["handler              1 of   1 found; cause 1, location 1, task %d" % share]
    starved = dict(stall(1000, 200), starved_ns=int(100e6))
    assert judge([starved], [reported(1000, 200, cause="cpu_starved")]).share("cause_right") == 1
