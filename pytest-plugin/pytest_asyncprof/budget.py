"""What a test may do to its event loop: from its markers, the command line and the ini file.

It must not know how anything is measured.
"""

import difflib
import re
from datetime import timedelta

#: Length of a stall where nothing says otherwise, in seconds; asyncprof's own default.
DEFAULT_STALL_S = 0.1
#: A loop sampled a thousand times a second cannot be judged below this, in seconds.
SHORTEST_S = 0.001

_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "": 1.0}


class BudgetError(ValueError):
    """A budget that makes no sense; the message says what to write instead."""


class Budget:
    """Limits of one test; ``None`` is no limit."""

    KEYS = ("max_stall", "max_stalls", "max_orphans")

    def __init__(self, max_stall=None, max_stalls=None, max_orphans=None):
        #: Longest stall that is allowed, in seconds.
        self.max_stall = max_stall
        #: Number of stalls that are allowed.
        self.max_stalls = max_stalls
        #: Number of orphaned tasks that are allowed at the end of the test's body.
        self.max_orphans = max_orphans

    def limits_stalls(self):
        return self.max_stall is not None or self.max_stalls is not None

    def shortest_stall(self, stall):
        """The shortest stall that matters, in seconds; ``stall`` is the length from which one counts."""
        lengths = [self.max_stall] if self.max_stall is not None else []
        if self.max_stalls is not None:
            lengths.append(stall)
        return min(lengths) if lengths else None


def parse_length(value, what):
    """Seconds of ``"100ms"``, ``"1.5s"``, a number of seconds, or a timedelta."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s|m|)\s*", value) if isinstance(value, str) else None
        if match is None:
            raise BudgetError(f'{what}={value!r} is not a length of time; write "100ms", "1.5s" or seconds as a number')
        seconds = float(match.group(1)) * _UNITS[match.group(2)]
    # Not "seconds < SHORTEST_S": that is false for NaN.
    if not SHORTEST_S <= seconds < float("inf"):
        raise BudgetError(f"{what}={value!r} cannot be judged: the shortest is 1 ms (max_stalls=0 allows no stall)")
    return seconds


def parse_count(value, what):
    """A whole number from 0 on, also as text."""
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BudgetError(f"{what}={value!r} is not a count; write 0, 1, 2 …")
    return value


def parse_limit(key, value, what=None):
    """One limit by its name; ``None`` stays ``None``."""
    if value is None:
        return None
    return (parse_length if key == "max_stall" else parse_count)(value, what or key)


def budget_of(markers, defaults):
    """The budget of a test: each limit from the nearest marker that names it, else from ``defaults``.

    ``markers`` are the test's own, nearest first.
    """
    limits = dict(defaults)
    for marker in reversed(list(markers)):
        if marker.args:
            raise BudgetError(f'asyncprof({marker.args[0]!r}) needs a name: asyncprof(max_stall="100ms")')
        for key, value in marker.kwargs.items():
            if key not in Budget.KEYS:
                near = difflib.get_close_matches(key, Budget.KEYS, n=1, cutoff=0.4)
                hint = f"did you mean {near[0]}?" if near else "there are " + ", ".join(Budget.KEYS)
                raise BudgetError(f"asyncprof({key}=…) is unknown; {hint}")
            limits[key] = parse_limit(key, value)
    return Budget(**limits)
