"""A FastAPI handler blocks the loop for 0.3 s with a synchronous HTTP client. The slow server it asks is a thread of this process."""
# packages: uvicorn fastapi requests
import http.server
import json
import socket
import sys
import threading
import time

import fastapi
import requests
import uvicorn


class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.3)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


slow = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
threading.Thread(target=slow.serve_forever, daemon=True).start()
app = fastapi.FastAPI()


@app.get("/block")
async def block():
    requests.get(f"http://127.0.0.1:{slow.server_port}/")  # the line that blocks
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
