"""An event loop that is neither asyncio's nor uvloop's: it shares no method with them that runs an iteration, only the handles
and tasks of asyncio, like loops that are driven by a toolkit's own. Runs on CPython 3.8 to 3.15.
"""

import asyncio
import collections
import heapq
import itertools
import select
import time


class EpollLoop(asyncio.AbstractEventLoop):
    def __init__(self):
        self.poller = select.epoll()
        self.soon = collections.deque()
        self.timers = []
        self.count = itertools.count()
        self.readers = {}
        self.is_on = False

    # Running

    def run_forever(self):
        asyncio._set_running_loop(self)
        self.is_on = True
        try:
            while self.is_on:
                self.turn()
        finally:
            self.is_on = False
            asyncio._set_running_loop(None)

    def turn(self):
        """Waits for events, and runs what is due."""
        for fd, _ in self.poller.poll(self.patience()):
            self.soon.append(self.readers[fd])
        now = self.time()
        while self.timers and self.timers[0][0] <= now:
            self.soon.append(heapq.heappop(self.timers)[2])
        for _ in range(len(self.soon)):
            handle = self.soon.popleft()
            if not handle.cancelled():
                handle._run()

    def patience(self):
        if self.soon:
            return 0
        # The poller rounds up to milliseconds.
        return max(0, self.timers[0][0] - self.time()) if self.timers else -1

    def run_until_complete(self, awaitable):
        task = asyncio.ensure_future(awaitable, loop=self)
        task.add_done_callback(lambda _: self.stop())
        self.run_forever()
        return task.result()

    def stop(self):
        self.is_on = False

    def is_running(self):
        return self.is_on

    def is_closed(self):
        return False

    def close(self):
        self.poller.close()

    # What is to run

    def call_soon(self, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        self.soon.append(handle)
        return handle

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when, callback, *args, context=None):
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self.timers, (when, next(self.count), handle))
        return handle

    def _timer_handle_cancelled(self, handle):
        """`turn` skips it."""

    def add_reader(self, fd, callback, *args):
        self.readers[fd] = asyncio.Handle(callback, args, self, None)
        self.poller.register(fd, select.EPOLLIN)

    def remove_reader(self, fd):
        self.poller.unregister(fd)
        del self.readers[fd]

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coroutine, **options):
        return asyncio.Task(coroutine, loop=self, **options)

    async def sock_recv(self, sock, count):
        """Of a socket that does not block."""
        readable = self.create_future()
        self.add_reader(sock.fileno(), lambda: readable.done() or readable.set_result(None))
        try:
            await readable
        finally:
            self.remove_reader(sock.fileno())
        return sock.recv(count)

    # What asyncio asks of every loop

    def time(self):
        return time.monotonic()

    def get_debug(self):
        return False

    def call_exception_handler(self, context):
        raise RuntimeError(context)
