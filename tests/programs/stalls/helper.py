"""helper.py: does to the stall target what a process cannot do to itself; started and stopped by stalls.py.

A request is a line on stdin, the reply is a byte on stdout:

    write MS         replies after MS milliseconds; the target blocks in a pipe read until then
    stop MS          stops the target for MS milliseconds
    quota on|off     moves the target into a control group with a small CPU quota, or back out of it

Before the first request it writes a line of JSON: for each ability, null or why this machine lacks it.

It also answers DNS queries on the address in argv[1]: `d120.stall.test` after 120 ms, for example.
"""

import json
import os
import signal
import socket
import struct
import sys
import threading
import time

TARGET = os.getppid()
QUOTA_US, PERIOD_US = 5000, 100000
V1_ROOTS = ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct")
V2_ROOTS = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


def write(path, text):
    with open(path, "w") as file:
        file.write(text)


def read(path):
    with open(path) as file:
        return file.read()


class Quota:
    """A control group limited to 5 % of a CPU."""

    def __init__(self):
        self.group = self.home = self.why_not = None
        for make in (self._make_v1, self._make_v2):
            try:
                make()
                return
            except OSError as error:
                self.why_not = "no control group can be made: %s" % error
                self.remove()

    def _path(self, root, controller):
        """The target's current group."""
        for line in read("/proc/%d/cgroup" % TARGET).splitlines():
            _, names, path = line.split(":", 2)
            if names == controller or controller in names.split(","):
                return os.path.join(root, path.lstrip("/"))
        raise OSError("the target has no group for %r" % controller)

    def _make_v1(self):
        root = next((root for root in V1_ROOTS if os.path.exists(root + "/cpu.cfs_quota_us") or os.path.exists(root + "/cgroup.procs")), None)
        if root is None:
            raise OSError("no cgroup v1 cpu controller")
        self.home = self._path(root, "cpu")
        self._make_group(self.home)
        write(self.group + "/cpu.cfs_period_us", str(PERIOD_US))
        write(self.group + "/cpu.cfs_quota_us", str(QUOTA_US))

    def _make_v2(self):
        root = next((root for root in V2_ROOTS if os.path.exists(root + "/cgroup.controllers")), None)
        if root is None or "cpu" not in read(root + "/cgroup.controllers").split():
            raise OSError("no cgroup v2 cpu controller")
        self.home = self._path(root, "")
        # Only the root may have both processes and child groups with controllers.
        parent = self.home if self.home.rstrip("/") == root else os.path.dirname(self.home.rstrip("/"))
        self._make_group(parent)
        if not os.path.exists(self.group + "/cpu.max"):
            write(parent + "/cgroup.subtree_control", "+cpu")
        write(self.group + "/cpu.max", "%d %d" % (QUOTA_US, PERIOD_US))

    def _make_group(self, parent):
        group = os.path.join(parent, "asyncprof-stalls-%d" % TARGET)
        os.mkdir(group)
        self.group = group

    def switch(self, on):
        write((self.group if on else self.home) + "/cgroup.procs", str(TARGET))

    def remove(self):
        if self.group:
            try:
                os.rmdir(self.group)
            except OSError:
                pass
        self.group = None


def answer_of(query):
    """A DNS response with the address 127.0.0.1, and its delay in seconds."""
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    question = query[12 : at + 5]
    header = query[:2] + struct.pack("!5H", 0x8180, 1, 1, 0, 0)
    answer = struct.pack("!3HIH4s", 0xC00C, 1, 1, 0, 4, socket.inet_aton("127.0.0.1"))
    return header + question + answer, int(labels[0][1:]) / 1000


def serve_dns(server):
    while True:
        try:
            query, client = server.recvfrom(512)
            response, late = answer_of(query)
        except (OSError, ValueError, IndexError):
            continue
        timer = threading.Timer(late, server.sendto, (response, client))
        timer.daemon = True
        timer.start()


def start_dns(address):
    """Starts the slow DNS server; returns why that failed, or None."""
    if not address:
        return "/etc/resolv.conf of the target is not ours (needs root and unshare)"
    try:
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((address, 53))
    except OSError as error:
        return "cannot serve DNS on %s: %s" % (address, error)
    thread = threading.Thread(target=serve_dns, args=(server,))
    thread.daemon = True
    thread.start()
    return None


def stop(seconds):
    # Gives the target time to reach the function in which it is to be stopped.
    time.sleep(0.003)
    os.kill(TARGET, signal.SIGSTOP)
    time.sleep(seconds)
    os.kill(TARGET, signal.SIGCONT)


def main():
    abilities = {"dns": start_dns(sys.argv[1])}
    quota = Quota()
    abilities["quota"] = None if quota.group else quota.why_not
    try:
        print(json.dumps(abilities), flush=True)
        # readline(), because iterating over the file would read ahead.
        for line in iter(sys.stdin.readline, ""):
            word, argument = line.split()
            if word == "write":
                time.sleep(float(argument) / 1000)
            elif word == "stop":
                stop(float(argument) / 1000)
            elif word == "quota":
                quota.switch(argument == "on")
            os.write(1, b"x")
    finally:
        quota.remove()


signal.signal(signal.SIGINT, signal.SIG_IGN)
main()
