"""Judges what asyncprof said of a healthy program: its findings, and each stall against what the program noted itself."""

import bisect

# Who waited for a processor for this share of a stall was starved.
STARVED_SHARE = 0.3
# A beat this close to an end of a stall may be outside.
MARGIN_NS = 2_000_000
INVENTED, BLAMED, OWN, STARVED, UNKNOWN = STALLS = "invented", "blamed", "own", "starved", "unknown"
# What a sound asyncprof never says of a healthy program, and what a healthy program never does.
FAULTS = INVENTED, BLAMED, OWN


def findings(said):
    """The findings of a dump or a report that are false of a healthy program, and the others."""
    false = [one for one in said["findings"] if one["severity"] != "info"]
    return false, [one for one in said["findings"] if one["severity"] == "info"]


def stall(one, beats, delays, loaded):
    """A verdict on a stall, and why. `beats` are those of its loop: when, and how long its thread had waited for a processor."""
    begin, length = one["start_ns"], one["duration_ms"] * 1e6
    if not beats:
        return OWN, "this loop has no heartbeat"
    turned = sum(begin + MARGIN_NS < when < begin + length - MARGIN_NS for when, _ in beats)
    if turned >= 2:
        return INVENTED, "the loop turned %d times meanwhile" % turned
    waited = min(waited_ns(beats, begin, begin + length), length)
    who, longest, in_sum = delays.of_threads(begin, begin + length)
    short = delays.pressure(begin, begin + length)
    starved = max(waited, in_sum) >= STARVED_SHARE * length
    facts = "its thread waited %.0f ms for a processor, %s %.0f ms, all threads %.0f ms; something waited for one in %.0f %% of the time" % (
        waited / 1e6, "the host took" if who == "host" else "thread %s" % who, longest / 1e6, in_sum / 1e6, short * 100)
    if one["cause"] == "unknown":
        return UNKNOWN, facts
    if one["cause"] == "cpu_starved":
        return (STARVED if starved or loaded else BLAMED), facts
    # A child of the program that waits for a processor is none of its threads.
    return (BLAMED if starved or short >= STARVED_SHARE else OWN), facts


def waited_ns(beats, begin, end):
    """How long a loop's thread waited for a processor between the beats around these times."""
    times = [when for when, _ in beats]
    first, last = max(bisect.bisect_right(times, begin) - 1, 0), min(bisect.bisect_left(times, end), len(times) - 1)
    return max(beats[last][1] - beats[first][1], 0)


def stopped(before, after):
    """What the program did before, and no more; or what it never did."""
    return sorted(name for name in after if after[name] <= before.get(name, 0))


# Self-test


class Fixed:
    """Delays that are known."""

    def __init__(self, ns=0, short=0):
        self.ns, self.short = ns, short

    def of_threads(self, *_):
        return 7, self.ns, self.ns

    def pressure(self, *_):
        return self.short


def check_itself():
    """Tests the judge: one that accepts everything would let every statement pass."""
    told = {"findings": [{"severity": "warning", "rule": "a"}, {"severity": "info", "rule": "b"}, {"severity": "error", "rule": "c"}]}
    false, info = findings(told)
    assert [one["rule"] for one in false] == ["a", "c"] and [one["rule"] for one in info] == ["b"]

    def said(cause):
        return {"start_ns": 10**9, "duration_ms": 200, "cause": cause}

    def gap(starved_ms=0):
        """A heart that beats every 10 ms, but not from 990 to 1210."""
        times = [when * 10**6 for when in (*range(900, 1000, 10), *range(1210, 1300, 10))]
        return [(when, starved_ms * 10**6 if when > 10**9 else 0) for when in times]

    steady = [(when * 10**6, 0) for when in range(900, 1300, 10)]
    in_between = sorted([*gap(), (1100 * 10**6, 0)])
    quiet, busy = Fixed(), Fixed(150 * 10**6)
    cases = [
        (said("cpu"), steady, quiet, False, INVENTED),
        (said("cpu_starved"), steady, quiet, True, INVENTED),
        (said("unknown"), steady, quiet, True, INVENTED),
        (said("cpu"), [], quiet, False, OWN),
        (said("cpu"), gap(), quiet, False, OWN),
        # One iteration, with the heart in it.
        (said("many_callbacks"), in_between, quiet, False, OWN),
        (said("cpu"), gap(150), quiet, False, BLAMED),
        (said("gil_wait"), gap(), busy, True, BLAMED),
        (said("blocking_call"), gap(), Fixed(short=0.9), False, BLAMED),
        (said("cpu_starved"), gap(150), quiet, False, STARVED),
        (said("cpu_starved"), gap(), busy, False, STARVED),
        (said("cpu_starved"), gap(), quiet, False, BLAMED),
        (said("cpu_starved"), gap(), quiet, True, STARVED),
        (said("unknown"), gap(), quiet, False, UNKNOWN),
    ]
    for one, beats, delays, loaded, right in cases:
        verdict, why = stall(one, beats, delays, loaded)
        assert verdict == right, (one, beats, loaded, verdict, why)
    assert stopped({"a": 1, "b": 1}, {"a": 2, "b": 1, "c": 1}) == ["b"]
