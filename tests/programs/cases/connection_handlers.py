"""Handlers of connections, to which older versions of asyncio keep no reference, beside a task that the program forgot."""
import asyncio
import sys


async def answers(reader, writer):
    while True:
        await reader.readuntil(b"\n")
        await asyncio.sleep(1000)


async def forgotten():
    await asyncio.sleep(1000)


async def main():
    server = await asyncio.start_server(answers, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    for _, writer in clients[1:]:
        writer.write(b"x\n")
    asyncio.get_running_loop().create_task(forgotten())
    await asyncio.sleep(0.3)
    print("ready", flush=True)
    await asyncio.sleep(1000)
    del clients


if "uvloop" in sys.argv:
    import uvloop

    uvloop.install()
asyncio.run(main())
