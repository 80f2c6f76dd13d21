"""The asyncprof processes that watch this one from outside. It must not know what a test is.

Nothing of this runs while a test runs: a recording is a child process, started and ended between the phases of tests.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import time

#: Starting, ending and reading a recording take milliseconds; on a machine that needs this long something is wrong.
PATIENCE_S = 30.0
#: From linux/prctl.h: who may read this process although Yama forbids it.
_PR_SET_PTRACER = 0x59616D61
_CAP_SYS_PTRACE = 19
#: Settings of the user's that would end a recording early or make it something else.
_UNWANTED = ("ASYNCPROF_DURATION", "ASYNCPROF_BLOCKING", "ASYNCPROF_FAIL_ON")


class RecorderError(Exception):
    """asyncprof could not do its part; the message holds what it said."""


def find_binary(option):
    """The program: the option, the variable ASYNCPROF, or the first on PATH."""
    for named, where in ((option, "--asyncprof-binary"), (os.environ.get("ASYNCPROF"), "the variable ASYNCPROF")):
        if named:
            found = shutil.which(os.path.expanduser(named))
            if found is None:
                raise RecorderError(f"{where} names {named}, which is not a program that can be run")
            return os.path.abspath(found)
    found = shutil.which("asyncprof")
    if found is None:
        raise RecorderError(
            "there is no program asyncprof on PATH; install it (cargo install --path . in its source), "
            "or name it: pytest --asyncprof --asyncprof-binary /path/to/asyncprof, or ASYNCPROF=/path/to/asyncprof"
        )
    return os.path.abspath(found)


def needs_permission():
    """Whether Yama forbids a child to read its parent. Root, and who has CAP_SYS_PTRACE, may do so anyway."""
    try:
        with open("/proc/sys/kernel/yama/ptrace_scope") as file:
            scope = file.read().strip()
        with open("/proc/self/status") as file:
            status = dict(line.split(":", 1) for line in file if ":" in line)
        return scope == "1" and not int(status["CapEff"], 16) >> _CAP_SYS_PTRACE & 1
    except (OSError, KeyError, ValueError):
        # No Yama, or nothing known: asyncprof itself says what is wrong.
        return False


def _permit(pid):
    """Lets the process ``pid``, and no other, read this one; 0 takes it back."""
    ctypes.CDLL(None, use_errno=True).prctl(ctypes.c_int(_PR_SET_PTRACER), *map(ctypes.c_ulong, (pid, 0, 0, 0)))


class Recorder:
    """One recording after the other of this process."""

    def __init__(self, binary, folder, prefix, stall_s):
        self.binary = binary
        self.folder = folder
        self.prefix = prefix
        self.stall_s = stall_s
        #: Yama knows one permitted process at a time.
        self.one_at_a_time = needs_permission()
        self._process = None
        self._parts = 0
        self.path = None

    def is_running(self):
        return self._process is not None

    def start(self):
        """Begins a recording, and comes back when this process is being watched."""
        self._parts += 1
        self.path = os.path.join(self.folder, f"{self.prefix}-{self._parts:03}.aprof")
        with open(self._log(), "wb") as log:
            self._process = self._spawn(
                ["record", str(os.getpid()), "-o", self.path, "--stall", f"{self.stall_s * 1e3:.3f}ms", "--color", "never"],
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_S
        # The file is made when the first look at this process was a success.
        while not (os.path.exists(self.path) and os.path.getsize(self.path)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise RecorderError(f"asyncprof could not record process {os.getpid()}:\n{self._said()}")
            time.sleep(0.001)

    def stop(self):
        """Ends the recording; what it holds, as ``asyncprof report -f json`` says it."""
        ended_early = self._process.poll() is not None
        self._end()
        try:
            output = subprocess.run(
                [self.binary, "report", self.path, "-f", "json", "--color", "never"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env=_environment(), timeout=PATIENCE_S,
            )
            report = json.loads(output.stdout.decode("utf-8", "replace")) if output.returncode == 0 else None
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            raise RecorderError(f"asyncprof report {self.path}: {error}")
        if report is None or ended_early:
            said = output.stderr.decode("utf-8", "replace")
            raise RecorderError(f"the recording of process {os.getpid()} ended early:\n{self._said()}{said}".rstrip())
        return report

    def dump(self):
        """What this process looks like at this instant, as ``asyncprof dump -f json`` says it."""
        process = self._spawn(
            ["dump", str(os.getpid()), "-f", "json", "--color", "never"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            output, said = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise RecorderError(f"asyncprof dump took longer than {PATIENCE_S:.0f} s")
        try:
            return json.loads(output.decode("utf-8", "replace"))
        except ValueError:
            raise RecorderError(f"asyncprof dump: {said.decode('utf-8', 'replace').strip()}")

    def _spawn(self, arguments, **streams):
        command = [self.binary] + arguments
        # A session of its own: Ctrl-C is for pytest, which then ends the recording itself.
        if not self.one_at_a_time:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, start_new_session=True, env=_environment(), **streams
            )
        # The shell waits for the permission, and becomes asyncprof with the same process id.
        process = subprocess.Popen(
            ["/bin/sh", "-c", 'read -r _ && exec "$@" </dev/null', "sh"] + command,
            stdin=subprocess.PIPE, start_new_session=True, env=_environment(), **streams
        )
        _permit(process.pid)
        try:
            process.stdin.write(b"\n")
            process.stdin.close()
        except OSError:
            # It is gone already; whoever waits for it says so.
            pass
        # Else communicate() would flush what is closed.
        process.stdin = None
        return process

    def _end(self):
        process, self._process = self._process, None
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                # The file can be read up to its last two seconds all the same.
                process.kill()
                process.wait()
        if self.one_at_a_time:
            _permit(0)

    def _log(self):
        return self.path + ".log"

    def _said(self):
        try:
            with open(self._log(), encoding="utf-8", errors="replace") as file:
                return file.read()
        except OSError:
            return ""


def _environment():
    return {name: value for name, value in os.environ.items() if name not in _UNWANTED}
