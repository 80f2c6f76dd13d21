"""Starts the measured programs and the tools that measure them."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LEGAL_STACKS = ROOT / "tests" / "programs" / "legal_stacks.py"
START_SECONDS = 60


def say(text):
    print(text, file=sys.stderr, flush=True)


def build_asyncprof():
    say("building...")
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=ROOT, check=True)
    return str(ROOT / "target" / "release" / "asyncprof")


def build_loop_samples():
    """Builds examples/loop_samples: the loop sampler alone, at full speed."""
    say("building...")
    command = ["cargo", "build", "--release", "--locked", "--quiet", "--example", "loop_samples"]
    subprocess.run(command, cwd=ROOT, check=True)
    return str(ROOT / "target" / "release" / "examples" / "loop_samples")


def on(cores):
    return lambda: os.sched_setaffinity(0, cores)


def split_cores():
    """One core for the program, the others for the tool that measures it."""
    cores = sorted(os.sched_getaffinity(0))
    return {cores[0]}, set(cores[1:]) or {cores[0]}


def words_when_ready(process, name, seconds):
    """The words after `ready`; the lines before it are not needed."""
    deadline = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        said = b""
        # Without the file's buffer, in which a line would be invisible to the selector.
        while selector.select(max(0, deadline - time.monotonic())):
            one = os.read(process.stdout.fileno(), 1)
            if not one:
                break
            said += one
            if said.endswith(b"\n"):
                words = said.decode().split()
                if words[:1] == ["ready"]:
                    return words[1:]
                said = b""
    ended = process.poll()
    raise RuntimeError("%s %s" % (name, "did not start within %d s" % seconds if ended is None else "ended with exit code %d" % ended))


@contextlib.contextmanager
def running(command, cores=None, start_seconds=START_SECONDS, **options):
    """Runs a program that prints `ready WORDS…`, perhaps after other lines: the process, and the words after `ready`. `options`: of
    subprocess.Popen."""
    preexec = on(cores) if cores else None
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=preexec, **options)
    try:
        yield process, words_when_ready(process, command[1], start_seconds)
    finally:
        process.kill()
        process.wait()


def loop_samples(binary, pid, kept, seconds, options=(), cores=None):
    """Runs examples/loop_samples and returns its output."""
    command = [binary, str(pid), str(kept), str(seconds), *options]
    done = subprocess.run(command, capture_output=True, preexec_fn=on(cores) if cores else None, timeout=seconds + START_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode().strip())
    return json.loads(done.stdout)


def cpu_seconds(pid):
    """CPU time of a process so far, with nanosecond resolution."""
    accounts = Path("/proc/%d/task" % pid).glob("*/schedstat")
    return sum(int(account.read_text().split()[0]) for account in accounts) / 1e9


@contextlib.contextmanager
def recording(asyncprof, pid, path, options=(), cores=None, begins=None):
    """Records a process while the block runs; yields asyncprof's process id. The block starts when sampling has started, which
    the file `begins` shows: `path`, or that of a subprocess."""
    begins = begins or path
    command = [asyncprof, "record", str(pid), "-o", path, *options]
    with tempfile.TemporaryFile() as errors:
        preexec = on(cores) if cores else None
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, preexec_fn=preexec
        )

        def failed(what):
            errors.seek(0)
            return RuntimeError("asyncprof record %s (%s): %s" % (what, process.poll(), errors.read().decode()))

        try:
            deadline = time.monotonic() + START_SECONDS
            # asyncprof writes the header when sampling starts.
            while not (os.path.exists(begins) and os.path.getsize(begins)):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise failed("did not start")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.02)
            yield process.pid
            process.send_signal(signal.SIGINT)
            if process.wait(START_SECONDS) != 0:
                raise failed("failed")
        finally:
            process.kill()
            process.wait()
