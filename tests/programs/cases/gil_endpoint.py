"""A FastAPI app with a plain `def` endpoint that computes in a worker thread, beside an `async def` one that does nothing."""
# packages: uvicorn fastapi
import json
import socket
import sys

import fastapi
import uvicorn

app = fastapi.FastAPI()


@app.get("/fast")
async def fast():
    return {}


@app.get("/cpu")
def summarise():
    total = 0
    for number in range(3_000_000):
        total += number * number  # the line that keeps the GIL
    return {}


def main():
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    with open(sys.argv[1], "w") as file:
        json.dump({"port": listening.getsockname()[1]}, file)
    loop = "uvloop" if "uvloop" in sys.argv else "asyncio"
    server = uvicorn.Server(uvicorn.Config(app, loop=loop, log_level="warning"))
    listening.listen()
    print("ready", flush=True)
    server.run(sockets=[listening])


main()
