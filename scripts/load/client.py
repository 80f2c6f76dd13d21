"""`client.py PORT CONNECTIONS REQUESTS [PATH…]`: sends requests to a local server as fast as CONNECTIONS connections allow. With
several paths, each connection asks for one of them.

Prints a line of JSON: the duration, the client's CPU usage, and how many responses were missing or not `200`. Does as little as
possible per response, so that the server is the bottleneck.
"""

import json
import select
import socket
import sys
import time

# After this long without any response, the outstanding ones count as errors.
TIMEOUT_SECONDS = 20
REQUEST = "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


class Connection:
    def __init__(self, port, requests, path):
        self.left = requests
        self.request = (REQUEST % path).encode()
        self.came = b""
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self.request)

    def read(self):
        """Reads a response, and sends the next request after a complete one. Returns the number of failed requests."""
        data = self.socket.recv(65536)
        if not data:
            return self.fail()
        self.came += data
        head = self.came.find(b"\r\n\r\n")
        if head < 0:
            return 0
        length = length_of(self.came[:head])
        if length is None:
            return self.fail()
        if len(self.came) < head + 4 + length:
            return 0
        failed = not self.came.startswith(b"HTTP/1.1 200")
        self.came = b""
        self.left -= 1
        if self.left:
            self.socket.sendall(self.request)
        return failed

    def fail(self):
        """The connection broke: all its remaining requests count as failed."""
        left, self.left = self.left, 0
        return left


def length_of(head):
    """The value of `Content-Length`, or None without a valid one."""
    at = head.lower().find(b"\r\ncontent-length:")
    if at < 0:
        return None
    try:
        return int(head[at + 17 :].split(b"\r\n", 1)[0])
    except ValueError:
        return None


def main(port, connections, requests, paths):
    share = requests // connections
    started, used = time.perf_counter(), time.process_time()
    open_ones, errors, poll = {}, 0, select.epoll()
    for number in range(connections if share else 0):
        try:
            one = Connection(port, share, paths[number % len(paths)])
        except OSError:
            errors += share
            continue
        open_ones[one.socket.fileno()] = one
        poll.register(one.socket, select.EPOLLIN)
    while open_ones:
        ready = poll.poll(TIMEOUT_SECONDS)
        if not ready:
            errors += sum(one.left for one in open_ones.values())
            break
        for number, _ in ready:
            one = open_ones[number]
            try:
                errors += one.read()
            except OSError:
                errors += one.fail()
            if not one.left:
                del open_ones[number]
                poll.unregister(number)
                one.socket.close()
    seconds = time.perf_counter() - started
    busy = (time.process_time() - used) / seconds
    print(json.dumps({"requests": share * connections, "seconds": seconds, "client_busy": busy, "errors": errors}))


main(*map(int, sys.argv[1:4]), sys.argv[4:] or ["/"])
