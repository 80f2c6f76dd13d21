"""`server.py TASKS`: a small HTTP server with TASKS background tasks, each of which wakes once per second. A request takes about
as long as one in a web framework, a few hundred microseconds.

Prints `ready PORT`, and exits when stdin closes. Needs no packages, so it runs on every Python.
"""

import asyncio
import json
import os
import random
import sys

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def below(left):
    if left:
        await below(left - 1)
    else:
        await asyncio.sleep(1)


async def background():
    await asyncio.sleep(random.random())
    while True:
        await below(4)


async def connection(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            await work()
            writer.write(ANSWER)
    except (OSError, EOFError):
        writer.close()


RECORDS = [{"id": number, "name": "record %d" % number, "tags": ["a", "b"], "price": number / 7} for number in range(40)]


async def work():
    """The work of one request: looks up records, computes prices and encodes the answer."""
    found = await look_up()
    await asyncio.sleep(0)
    return json.dumps(priced(found))


async def look_up():
    await asyncio.sleep(0)
    return json.loads(json.dumps(RECORDS))


def priced(records):
    return [dict(record, total=with_tax(record["price"])) for record in records]


def with_tax(price):
    return round(price * 1.19, 2)


async def main(tasks):
    loop = asyncio.get_event_loop()
    kept = [loop.create_task(background()) for _ in range(tasks)]
    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    loop.add_reader(0, os._exit, 0)
    print("ready", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.wait(kept)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
