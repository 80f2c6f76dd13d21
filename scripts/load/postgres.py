"""A private PostgreSQL server: its data in a temporary folder, reachable only by a Unix socket there."""

import contextlib
import ctypes
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

START_SECONDS, STOP_SECONDS = 60, 20
# Who runs it when root starts it, because PostgreSQL refuses to run as root.
OTHER_USERS = "postgres", "nobody"
HOW_TO_INSTALL = "PostgreSQL is not installed: apt install postgresql, or its folder with initdb on PATH"
PR_SET_PDEATHSIG = 1


def find():
    """The folder of its programs, or None."""
    installed = sorted(glob.glob("/usr/lib/postgresql/*/bin") + glob.glob("/usr/pgsql-*/bin"), key=os.path.getmtime, reverse=True)
    for folder in [*os.get_exec_path(), *installed]:
        if all(os.access(os.path.join(folder, name), os.X_OK) for name in ("initdb", "postgres", "pg_isready")):
            return folder
    return None


def identity():
    """The options of subprocess that give up root."""
    if os.geteuid() != 0:
        return {}
    for name in OTHER_USERS:
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise RuntimeError("PostgreSQL does not run as root, and there is no user %s" % " or ".join(OTHER_USERS))


def end_with_parent():
    """The kernel ends the server if this process is killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGQUIT)


@contextlib.contextmanager
def running(binaries):
    """The folder of the socket of a server with the superuser `healthy`, who needs no password. Call it in the main thread."""
    options = {**identity(), "stdin": subprocess.DEVNULL}
    folder = tempfile.mkdtemp(prefix="asyncprof-pg-")
    server = None
    try:
        if "user" in options:
            os.chown(folder, options["user"], options["group"])
        options["cwd"] = folder
        data, log = os.path.join(folder, "data"), os.path.join(folder, "log")
        command = [os.path.join(binaries, "initdb"), "-D", data, "-U", "healthy", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS, **options)
        if done.returncode != 0:
            raise RuntimeError("initdb failed: " + (done.stderr.strip() or done.stdout.strip()))
        command = [os.path.join(binaries, "postgres"), "-D", data, "-k", folder]
        for setting in ("listen_addresses=", "fsync=off", "max_connections=60", "shared_buffers=16MB", "autovacuum=off"):
            command += ["-c", setting]
        with open(log, "wb") as output:
            server = subprocess.Popen(command, stdout=output, stderr=output, preexec_fn=end_with_parent, **options)
        wait_until_ready(binaries, folder, server, log)
        yield folder
    finally:
        if server is not None:
            # A fast shutdown, which ends its connections.
            server.send_signal(signal.SIGINT)
            try:
                server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                server.send_signal(signal.SIGQUIT)
                server.wait(STOP_SECONDS)
        shutil.rmtree(folder, ignore_errors=True)


def wait_until_ready(binaries, folder, server, log):
    deadline = time.monotonic() + START_SECONDS
    command = [os.path.join(binaries, "pg_isready"), "-q", "-h", folder]
    while subprocess.run(command).returncode != 0:
        if server.poll() is not None or time.monotonic() > deadline:
            with open(log) as file:
                raise RuntimeError("PostgreSQL did not start: " + file.read().strip()[-500:])
        time.sleep(0.1)
