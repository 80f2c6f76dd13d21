"""Loopback sockets: a stream server and its handlers, stream clients, and the loop's own socket methods."""

import asyncio
import socket

import oracle

HANDLERS = []


async def handle(reader, writer):
    HANDLERS.append("handler %d" % len(HANDLERS))
    oracle.label(HANDLERS[-1])
    # Some versions keep a reference to the handler's task, others do not.
    oracle.waits("socket", orphaned=None)
    await reader.readline()
    writer.close()


async def reads(port, how):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    oracle.waits("socket")
    if how == "read":
        await reader.read(100)
    elif how == "readexactly":
        await reader.readexactly(100)
    else:
        await reader.readuntil(b"x")
    writer.close()


async def receives(end):
    oracle.waits("socket")
    await asyncio.get_event_loop().sock_recv(end, 100)


async def accepts(listener):
    oracle.waits("socket")
    await asyncio.get_event_loop().sock_accept(listener)


async def serves(server):
    oracle.waits(["socket", "future", "other"])
    async with server:
        await server.serve_forever()


async def main():
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    oracle.task(serves(server), "serves")
    for how in ("read", "readexactly", "readuntil"):
        oracle.task(reads(port, how), how)
    ends = oracle.keep(socket.socketpair())
    listener = oracle.keep(socket.create_server(("127.0.0.1", 0)))
    for one in (ends[0], listener):
        one.setblocking(False)
    oracle.task(receives(ends[0]), "sock_recv")
    oracle.task(accepts(listener), "sock_accept")
    oracle.until(lambda: len(HANDLERS) == 3)
    await oracle.park()


oracle.run(main)
