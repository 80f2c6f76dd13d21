"""The asyncprof processes that observe this process from outside.

A recording is a child process, started and stopped between test phases, so none of this code runs during a test.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import time

#: Timeout for starting, stopping or reading a recording, which normally take milliseconds.
TIMEOUT_S = 30.0
#: From linux/prctl.h: names a process that may read this one despite Yama.
_PR_SET_PTRACER = 0x59616D61
_CAP_SYS_PTRACE = 19
#: User settings that would stop a recording early or change what it records.
_UNWANTED = ("ASYNCPROF_DURATION", "ASYNCPROF_BLOCKING", "ASYNCPROF_FAIL_ON")


class RecorderError(Exception):
    """asyncprof failed; the message contains its output."""


def find_binary(option):
    """Finds asyncprof: from the option, the variable ASYNCPROF or PATH."""
    for named, where in ((option, "--asyncprof-binary"), (os.environ.get("ASYNCPROF"), "the variable ASYNCPROF")):
        if named:
            found = shutil.which(os.path.expanduser(named))
            if found is None:
                raise RecorderError(f"{where} names {named}, which is not a program that can be run")
            return os.path.abspath(found)
    found = shutil.which("asyncprof")
    if found is None:
        raise RecorderError(
            "asyncprof is not on PATH; install it (cargo install --path . in its source tree), "
            "or give its path: pytest --asyncprof --asyncprof-binary /path/to/asyncprof, or ASYNCPROF=/path/to/asyncprof"
        )
    return os.path.abspath(found)


def needs_permission():
    """Whether Yama keeps a child from reading its parent. Root and processes with CAP_SYS_PTRACE are exempt."""
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as file:
            scope = file.read().strip()
        with open("/proc/self/status") as file:
            status = dict(line.split(":", 1) for line in file if ":" in line)
        return scope == "1" and not int(status["CapEff"], 16) >> _CAP_SYS_PTRACE & 1
    except (OSError, KeyError, ValueError):
        # No Yama, or unknown: asyncprof itself reports what is wrong.
        return False


def _permit(pid):
    """Lets process ``pid``, and no other, read this one; 0 revokes that."""
    ctypes.CDLL(None, use_errno=True).prctl(ctypes.c_int(_PR_SET_PTRACER), *map(ctypes.c_ulong, (pid, 0, 0, 0)))


class Recorder:
    """Records this process, one recording after another."""

    def __init__(self, binary, folder, prefix, stall_s):
        self.binary = binary
        self.folder = folder
        self.prefix = prefix
        self.stall_s = stall_s
        #: Yama allows one permitted process at a time.
        self.one_at_a_time = needs_permission()
        self._process = None
        self._parts = 0
        self.path = None

    def is_running(self):
        return self._process is not None

    def start(self):
        """Starts a recording; returns when sampling has started."""
        self._parts += 1
        self.path = os.path.join(self.folder, f"{self.prefix}-{self._parts:03}.aprof")
        with open(self._log(), "wb") as log:
            self._process = self._spawn(
                ["record", str(os.getpid()), "-o", self.path, "--stall", f"{self.stall_s * 1e3:.3f}ms", "--color", "never"],
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + TIMEOUT_S
        # asyncprof creates the file after its first successful read of this process.
        while not (os.path.exists(self.path) and os.path.getsize(self.path)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise RecorderError(f"asyncprof could not record process {os.getpid()}:\n{self._log_text()}")
            time.sleep(0.001)

    def stop(self):
        """Stops the recording and returns its report, as from ``asyncprof report -f json``."""
        ended_early = self._process.poll() is not None
        self._end()
        try:
            output = subprocess.run(
                [self.binary, "report", self.path, "-f", "json", "--color", "never"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=_environment(), timeout=TIMEOUT_S,
            )
            report = json.loads(output.stdout.decode("utf-8", "replace")) if output.returncode == 0 else None
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise RecorderError(f"asyncprof report {self.path}: {error}")
        if report is None or ended_early:
            errors = output.stderr.decode("utf-8", "replace")
            text = f"the recording of process {os.getpid()} stopped early:\n{self._log_text()}{errors}"
            raise RecorderError(text.rstrip())
        return report

    def dump(self):
        """A snapshot of this process, as from ``asyncprof dump -f json``."""
        process = self._spawn(
            ["dump", str(os.getpid()), "-f", "json", "--color", "never"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            output, errors = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise RecorderError(f"asyncprof dump took longer than {TIMEOUT_S:.0f} s")
        try:
            return json.loads(output.decode("utf-8", "replace"))
        except ValueError:
            raise RecorderError(f"asyncprof dump: {errors.decode('utf-8', 'replace').strip()}")

    def _spawn(self, arguments, **streams):
        command = [self.binary] + arguments
        # A separate session: Ctrl-C reaches only pytest, which then stops the recording itself.
        if not self.one_at_a_time:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, start_new_session=True, env=_environment(), **streams
            )
        # The shell waits for the permission and then becomes asyncprof, with the same process id.
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _ && exec "$@" </dev/null', "sh"] + command,
            stdin=subprocess.PIPE, start_new_session=True, env=_environment(), **streams
        )
        _permit(process.pid)
        try:
            process.stdin.write(b"\n")
            process.stdin.close()
        except OSError:
            # It has exited already; waiting for it reports why.
            pass
        # Otherwise communicate() would flush the closed pipe.
        process.stdin = None
        return process

    def _end(self):
        process, self._process = self._process, None
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                # The file stays readable; at most its last two seconds are lost.
                process.kill()
                process.wait()
        if self.one_at_a_time:
            _permit(0)

    def _log(self):
        return self.path + ".log"

    def _log_text(self):
        try:
            with open(self._log(), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def _environment():
    return {name: value for name, value in os.environ.items() if name not in _UNWANTED}
