"""FastAPI under gunicorn with one uvicorn worker: the event loop runs in a process of its own."""

import sys

from gunicorn.app.wsgiapp import run

import serving

try:
    import uvicorn_worker as worker
except ImportError:
    # It was a part of uvicorn.
    import uvicorn.workers as worker

CLASS = worker.UvicornWorker.__module__ + ".UvicornWorker"
BIND = "%s:%d" % (serving.HOST, serving.PORT)
# On a busy machine the worker takes longer to start than gunicorn's 30 s.
sys.argv[1:] = ["uvicorn_server:app", "-k", CLASS, "-w", "1", "-b", BIND, "--timeout", "300", "--log-level", "error"]
run()
