"""A server and its clients in one process, for `asyncprof check`: a fixed number of requests, each with the same work, and
faults on request. At the end it prints the number of requests and the CPU time per request to stderr.

    python requests.py [--requests N] [--work UNITS] [--block MILLISECONDS] [--orphan] [--unretrieved] [--exit STATUS]
"""

import argparse
import asyncio
import sys
import time

CLIENTS = 4


def work(units):
    """Takes CPU time in proportion to `units`; the result is always the same."""
    total = 0
    for number in range(units * 100):
        total = (total * 31 + number) & 0xFFFFFF
    return total


async def lost():
    await asyncio.sleep(3600)


async def fails():
    raise ValueError("nobody looks at this")


def look_it_up(milliseconds):
    time.sleep(milliseconds / 1000)  # the line to change


class Server:
    def __init__(self, options):
        self.options = options
        self.served = 0
        self.kept = []

    async def handle(self, reader, writer):
        while await reader.readline():
            self.served += 1
            if self.served == self.options.requests // 3:
                self.go_wrong()
            work(self.options.work)
            writer.write(b"done\n")
            await writer.drain()
        writer.close()

    def go_wrong(self):
        if self.options.orphan:
            asyncio.get_running_loop().create_task(lost())  # the orphan
        if self.options.unretrieved:
            self.kept.append(asyncio.get_running_loop().create_task(fails()))
        if self.options.block:
            look_it_up(self.options.block)


async def client(port, requests):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(requests):
        writer.write(b"do\n")
        await reader.readline()
    writer.close()


async def main(options):
    server = Server(options)
    listening = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    began = time.process_time()
    await asyncio.gather(*(client(port, options.requests // CLIENTS) for _ in range(CLIENTS)))
    spent = time.process_time() - began
    listening.close()
    print("%d requests, %.4f ms each" % (server.served, spent * 1e3 / server.served), file=sys.stderr)


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=400)
    parser.add_argument("--work", type=int, default=100)
    parser.add_argument("--block", type=int, default=0)
    parser.add_argument("--orphan", action="store_true")
    parser.add_argument("--unretrieved", action="store_true")
    parser.add_argument("--exit", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = parse()
    asyncio.run(main(OPTIONS))
    sys.exit(OPTIONS.exit)
