"""Judges what asyncprof said of a healthy program: its findings, and each stall against what the program noted itself."""

# A thread that waited for a processor for this share of a stall was starved.
STARVED_SHARE = 0.3
# The heartbeat must have been late for this share of a stall.
LATE_SHARE = 0.5
FALSE, STARVED, UNKNOWN, OWN = "false", "starved", "unknown", "own"


def findings(said):
    """The findings of a dump or a report that are false of a healthy program, and the others."""
    false = [one for one in said["findings"] if one["severity"] != "info"]
    return false, [one for one in said["findings"] if one["severity"] == "info"]


def stall(one, late, delays, loaded):
    """A verdict on a stall, and why.

    `late` is what the program noted: when the heartbeat of a loop was late, and how long its thread waited for a processor."""
    begin, length = one["start_ns"], one["duration_ms"] * 1e6
    beats = [beat for beat in late if beat["thread"] == one["thread"] and overlap(beat, begin, begin + length) > 0]
    if sum(overlap(beat, begin, begin + length) for beat in beats) < LATE_SHARE * length:
        return FALSE, "invented: the heartbeat of this loop was not late"
    waited = min(sum(beat["starved_ns"] for beat in beats), length)
    who, longest = delays.longest(begin, begin + length)
    starved = max(waited, longest) >= STARVED_SHARE * length
    facts = "its thread waited %.0f ms for a processor, %s %.0f ms" % (waited / 1e6, "the host took" if who == "host" else "thread %s" % who, longest / 1e6)
    if one["cause"] == "cpu_starved":
        return (STARVED if starved or loaded else FALSE), facts
    if one["cause"] == "unknown":
        return UNKNOWN, facts
    if starved:
        return FALSE, "blames the program: " + facts
    return OWN, "the loop was late while the machine was free: " + facts


def overlap(beat, begin, end):
    return min(beat["end_ns"], end) - max(beat["start_ns"], begin)


def stopped(before, after):
    """What the program did before, and no more; or what it never did."""
    return sorted(name for name in after if after[name] <= before.get(name, 0))


# Self-test


class NoDelays:
    def __init__(self, who=None, ns=0):
        self.answer = who, ns

    def longest(self, *_):
        return self.answer


def check_itself():
    """Tests the judge: one that accepts everything would let every statement pass."""
    told = {"findings": [{"severity": "warning", "rule": "a"}, {"severity": "info", "rule": "b"}, {"severity": "error", "rule": "c"}]}
    false, info = findings(told)
    assert [one["rule"] for one in false] == ["a", "c"] and [one["rule"] for one in info] == ["b"]

    def said(cause, thread=1):
        return {"start_ns": 10**9, "duration_ms": 200, "thread": thread, "cause": cause}

    def late(start_ms, end_ms, starved_ms=0):
        return [{"thread": 1, "start_ns": start_ms * 10**6, "end_ns": end_ms * 10**6, "starved_ns": starved_ms * 10**6}]

    quiet, busy = NoDelays(), NoDelays(7, 150 * 10**6)
    cases = [
        (said("cpu"), [], quiet, False, FALSE),
        (said("cpu_starved"), [], quiet, True, FALSE),
        (said("cpu"), late(1000, 1040), quiet, False, FALSE),
        (said("cpu", thread=2), late(1000, 1200), quiet, False, FALSE),
        (said("cpu"), late(1000, 1200), quiet, False, OWN),
        (said("cpu"), late(1000, 1200, 150), quiet, False, FALSE),
        (said("gil_wait"), late(1000, 1200), busy, True, FALSE),
        (said("cpu_starved"), late(1000, 1200, 150), quiet, False, STARVED),
        (said("cpu_starved"), late(1000, 1200), busy, False, STARVED),
        (said("cpu_starved"), late(1000, 1200), quiet, False, FALSE),
        (said("cpu_starved"), late(1000, 1200), quiet, True, STARVED),
        (said("unknown"), late(1000, 1200), quiet, False, UNKNOWN),
    ]
    for one, beats, delays, loaded, right in cases:
        verdict, why = stall(one, beats, delays, loaded)
        assert verdict == right, (one, beats, loaded, verdict, why)
    assert stopped({"a": 1, "b": 1}, {"a": 2, "b": 1, "c": 1}) == ["b"]
