"""Processors kept busy, and how long the threads of a process waited for one."""

import bisect
import contextlib
import os
import subprocess
import sys
import threading
import time

# Computes until the process that started it is gone.
HOG = "import os, sys\nparent = os.getppid()\nwhile os.getppid() == parent:\n    sum(range(10000))"
SAMPLE_SECONDS = 0.02


@contextlib.contextmanager
def busy_cores():
    """One computing process for each core."""
    hogs = []
    try:
        for _ in os.sched_getaffinity(0):
            hogs.append(subprocess.Popen([sys.executable, "-S", "-c", HOG], stdin=subprocess.DEVNULL))
        yield
    finally:
        for hog in hogs:
            hog.kill()
        for hog in hogs:
            hog.wait()


class Delays(threading.Thread):
    """Samples how long each thread of a process has been runnable without running, and what the host took from this machine."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.folder, self.ends = "/proc/%d/task" % pid, threading.Event()
        self.times, self.samples, self.short = [], [], []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.ends.set()
        self.join()

    def run(self):
        while not self.ends.wait(SAMPLE_SECONDS):
            sample = {"host": stolen_ns()}
            with contextlib.suppress(OSError):
                for thread in os.listdir(self.folder):
                    with contextlib.suppress(OSError), open("%s/%s/schedstat" % (self.folder, thread)) as file:
                        sample[int(thread)] = int(file.read().split()[1])
            self.times.append(time.monotonic_ns())
            self.samples.append(sample)
            self.short.append(short_ns())

    def around(self, begin_ns, end_ns):
        """The numbers of the last sample before these times and of the first after them."""
        first = max(bisect.bisect_right(self.times, begin_ns) - 1, 0)
        return first, min(bisect.bisect_left(self.times, end_ns), len(self.times) - 1)

    def of_threads(self, begin_ns, end_ns):
        """Who waited longest for a processor around these times (a thread's number or `host`), how long, and all in sum."""
        first, last = self.around(begin_ns, end_ns)
        if last <= first:
            return None, 0, 0
        before, after = self.samples[first], self.samples[last]
        waited = {who: min(after[who] - before.get(who, 0), end_ns - begin_ns) for who in after}
        who = max(waited, key=waited.get)
        return who, waited[who], sum(waited.values())

    def pressure(self, begin_ns, end_ns):
        """The share of the time in which anything on this machine waited for a processor; 0 if the kernel does not say."""
        first, last = self.around(begin_ns, end_ns)
        if last <= first:
            return 0
        return (self.short[last] - self.short[first]) / (self.times[last] - self.times[first])


def short_ns():
    """How long anything has waited for a processor, since the machine started."""
    try:
        with open("/proc/pressure/cpu") as file:
            return int(file.readline().rsplit("total=", 1)[1]) * 1000
    except (OSError, IndexError):
        return 0


def stolen_ns():
    with open("/proc/stat") as file:
        fields = file.readline().split()
    return int(fields[8]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK") if len(fields) > 8 else 0
