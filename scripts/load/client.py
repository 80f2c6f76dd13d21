"""Asks a server on this machine as fast as a few connections can: `client.py PORT CONNECTIONS REQUESTS`.

Prints one line of JSON: how long it took, and how many answers were not `200` or did not come. It is small, so that the
server is what limits it.
"""

import asyncio
import json
import sys
import time

# An answer that takes longer counts as none.
PATIENCE_SECONDS = 20
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def ask(reader, writer):
    """Whether a request was answered well."""
    writer.write(REQUEST)
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return lines[0].split(b" ")[1] == b"200"


async def connection(port, requests):
    """How many of the requests failed. A connection that breaks fails all that it still had to make."""
    errors = done = 0
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for done in range(requests):
            errors += not await asyncio.wait_for(ask(reader, writer), PATIENCE_SECONDS)
        writer.close()
    except (OSError, EOFError, ValueError, StopIteration, RuntimeError, asyncio.TimeoutError):
        errors += requests - done
    return errors


async def main(port, connections, requests):
    share = requests // connections
    started = time.perf_counter()
    errors = await asyncio.gather(*(connection(port, share) for _ in range(connections)))
    seconds = time.perf_counter() - started
    print(json.dumps({"requests": share * connections, "seconds": seconds, "errors": sum(errors)}))


asyncio.run(main(*map(int, sys.argv[1:])))
