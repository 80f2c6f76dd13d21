"""A small HTTP server for clients in the same process: answers after 10 ms, and to `/slow` only after a second."""
import asyncio

BODY = b'{"ok": true}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


async def answers(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(1 if head.startswith(b"GET /slow") else 0.01)
            writer.write(ANSWER)
            await writer.drain()
    except (OSError, EOFError):
        writer.close()


async def start():
    """The address of a server that has started."""
    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    return "http://127.0.0.1:%d/" % server.sockets[0].getsockname()[1]
