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
        self.folder, self.times, self.samples, self.ends = "/proc/%d/task" % pid, [], [], threading.Event()

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

    def of_threads(self, begin_ns, end_ns):
        """Who waited longest between the samples around these times (a thread's number or `host`), how long, and all in sum."""
        first = max(bisect.bisect_right(self.times, begin_ns) - 1, 0)
        last = min(bisect.bisect_left(self.times, end_ns), len(self.times) - 1)
        if last <= first:
            return None, 0, 0
        before, after = self.samples[first], self.samples[last]
        waited = {who: min(after[who] - before.get(who, 0), end_ns - begin_ns) for who in after}
        who = max(waited, key=waited.get)
        return who, waited[who], sum(waited.values())


def stolen_ns():
    with open("/proc/stat") as file:
        fields = file.readline().split()
    return int(fields[8]) * 1_000_000_000 // os.sysconf("SC_CLK_TCK") if len(fields) > 8 else 0
