"""What every server of this folder does besides serving: it takes its port from the environment, announces itself, and ends with
the process that started it.

`ready PID WAY…` on stdout: the process that runs the event loop, and the ways that it cannot offer.
"""

import ctypes
import os
import signal
import socket
import threading
import time

import ways

HOST, PORT = "127.0.0.1", int(os.environ.get("PORT", "0"))
PR_SET_PDEATHSIG = 1
# A server that does not listen after this time is not announced.
PATIENCE_SECONDS = 120


def end_with_parent():
    """No test leaves a server behind. A forked worker has to ask for it again."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


end_with_parent()


def announce_when_listening(missing):
    ends = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < ends:
        try:
            socket.create_connection((HOST, PORT), 1).close()
        except OSError:
            time.sleep(0.02)
            continue
        print("ready", os.getpid(), *missing, flush=True)
        return


def started():
    """To be called in the process that runs the event loop, when it starts; it need not listen yet."""
    end_with_parent()
    thread = threading.Thread(target=announce_when_listening, args=(ways.prepare(),), name="announces")
    thread.daemon = True
    thread.start()
