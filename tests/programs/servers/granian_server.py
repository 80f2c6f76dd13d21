"""Starlette under granian: the event loop runs in a process of its own, and Rust calls the application."""

from granian import Granian

import serving

if __name__ == "__main__":
    Granian("starlette_server:app", address=serving.HOST, port=serving.PORT, interface="asgi", workers=1, log_enabled=False).serve()
