"""Finds the CPythons of this machine: in ASYNCPROF_PYTHONS, on PATH, under pyenv and under uv.

Also warns if the machine is too busy for measurements.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

OLDEST, NEWEST = 8, 15
# Timeout for an interpreter to print its version.
ANSWER_SECONDS = 20
QUESTION = """
import platform, sys, sysconfig
free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
print(sys.implementation.name, sys.version_info[0], sys.version_info[1], free, platform.python_version())
"""


@dataclass(frozen=True)
class Python:
    """A CPython interpreter."""

    path: str
    minor: int
    free_threaded: bool
    version: str

    @property
    def name(self):
        return f"3.{self.minor}{'t' if self.free_threaded else ''}"

    @property
    def has_asyncio_ps(self):
        """Whether it has `python -m asyncio ps PID`, new in 3.14."""
        return self.minor >= 14


def ask(path):
    """The Python at `path`, or None if it is not a supported CPython."""
    try:
        answer = subprocess.run(
            [path, "-c", QUESTION], capture_output=True, text=True, timeout=ANSWER_SECONDS, stdin=subprocess.DEVNULL
        )
        name, major, minor, free, version = answer.stdout.split()
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    if name != "cpython" or major != "3" or not OLDEST <= int(minor) <= NEWEST:
        return None
    return Python(str(path), int(minor), free == "True", version)


def candidates():
    """Paths that may be interpreters, in order of preference."""
    yield from filter(None, os.environ.get("ASYNCPROF_PYTHONS", "").split(":"))
    for folder in os.get_exec_path():
        for minor in range(OLDEST, NEWEST + 1):
            yield os.path.join(folder, f"python3.{minor}")
            yield os.path.join(folder, f"python3.{minor}t")
        yield os.path.join(folder, "python3")
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")
    for root in (pyenv / "versions", uv):
        yield from sorted(map(str, root.glob("*/bin/python3")), reverse=True)


def find():
    """One Python per version and kind of build, oldest version first."""
    found, seen = {}, set()
    for path in candidates():
        if not os.access(path, os.X_OK) or os.path.realpath(path) in seen:
            continue
        python = ask(path)
        if python is None:
            continue
        seen.add(os.path.realpath(path))
        found.setdefault((python.minor, python.free_threaded), python)
    return [found[key] for key in sorted(found)]


def named(paths):
    """The Pythons with these paths or names; ends the script if one of them is not a supported CPython."""
    asked = [(path, ask(shutil.which(path) or path)) for path in paths]
    unknown = [path for path, python in asked if python is None]
    if unknown:
        script = os.path.basename(sys.argv[0])
        found = ", ".join(f"{python.name} ({python.path})" for python in find()) or "none"
        print(f"{script}: not a CPython 3.{OLDEST} to 3.{NEWEST}: {', '.join(unknown)}; found: {found}", file=sys.stderr)
        sys.exit(2)
    return [python for _, python in asked]


def warn_of_load():
    """Warns if other programs are busy, because they distort measurements."""
    busy, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if busy > cores / 2:
        print(f"note: the load average is {busy:.1f} on {cores} cores; other programs distort the measurements", file=sys.stderr)
