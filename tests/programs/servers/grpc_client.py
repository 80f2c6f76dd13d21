"""grpc_client.py PORT: calls grpc_server.py. Prints `ready`; each line on stdin is a path as of the other servers (`/healthy`,
`/block/sleep`), each line on stdout the answer. Ends when stdin closes."""

import sys

import grpc

with grpc.insecure_channel("127.0.0.1:%s" % sys.argv[1]) as channel:
    print("ready", flush=True)
    for line in iter(sys.stdin.readline, ""):
        _, method, *way = line.strip().split("/")
        print(channel.unary_unary("/Matrix/" + method)("".join(way).encode(), timeout=60).decode(), flush=True)
