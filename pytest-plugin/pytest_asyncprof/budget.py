"""The limits of a test: from its markers, the command line and the ini file."""

import difflib
import re
from datetime import timedelta

#: Default stall threshold, in seconds; the same as asyncprof's.
DEFAULT_STALL_S = 0.1
#: The shortest limit, in seconds: at 1,000 samples per second nothing shorter can be measured.
SHORTEST_S = 0.001

_UNITS = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "": 1.0}


class BudgetError(ValueError):
    """An invalid budget; the message says what to write instead."""


class Budget:
    """Limits of one test; ``None`` means no limit."""

    KEYS = ("max_stall", "max_stalls", "max_orphans")

    def __init__(self, max_stall=None, max_stalls=None, max_orphans=None):
        #: Longest stall allowed, in seconds.
        self.max_stall = max_stall
        #: Number of stalls allowed.
        self.max_stalls = max_stalls
        #: Number of orphaned tasks allowed when the test's body ends.
        self.max_orphans = max_orphans

    def limits_stalls(self):
        return self.max_stall is not None or self.max_stalls is not None

    def shortest_stall(self, stall):
        """The shortest stall that can exceed the budget, in seconds; ``stall`` is the stall threshold."""
        lengths = [self.max_stall] if self.max_stall is not None else []
        if self.max_stalls is not None:
            lengths.append(stall)
        return min(lengths) if lengths else None


def parse_length(value, what):
    """Converts ``"100ms"``, ``"1.5s"``, a number of seconds or a timedelta to seconds."""
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        seconds = float(value)
    else:
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(us|µs|ms|s|m|)\s*", value) if isinstance(value, str) else None
        if match is None:
            raise BudgetError(f'{what}={value!r} is not a duration; write "100ms", "1.5s" or a number of seconds')
        seconds = float(match.group(1)) * _UNITS[match.group(2)]
    # Not "seconds < SHORTEST_S": that is false for NaN.
    if not SHORTEST_S <= seconds < float("inf"):
        raise BudgetError(f"{what}={value!r} is out of range: the minimum is 1 ms (to allow no stalls, use max_stalls=0)")
    return seconds


def parse_count(value, what):
    """Converts a non-negative integer, or one as text."""
    if isinstance(value, str) and value.strip().isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise BudgetError(f"{what}={value!r} is not a count; write 0, 1, 2, …")
    return value


def parse_limit(key, value, what=None):
    """Converts one limit by its name; ``None`` stays ``None``."""
    if value is None:
        return None
    return (parse_length if key == "max_stall" else parse_count)(value, what or key)


def budget_of(markers, defaults):
    """The budget of a test: each limit from the nearest marker that sets it, otherwise from ``defaults``.

    ``markers`` are the test's markers, nearest first.
    """
    limits = dict(defaults)
    for marker in reversed(list(markers)):
        if marker.args:
            raise BudgetError(f'asyncprof({marker.args[0]!r}) needs a keyword: asyncprof(max_stall="100ms")')
        for key, value in marker.kwargs.items():
            if key not in Budget.KEYS:
                near = difflib.get_close_matches(key, Budget.KEYS, n=1, cutoff=0.4)
                hint = f"did you mean {near[0]}?" if near else "the limits are " + ", ".join(Budget.KEYS)
                raise BudgetError(f"asyncprof({key}=…) is unknown; {hint}")
            limits[key] = parse_limit(key, value)
    return Budget(**limits)
