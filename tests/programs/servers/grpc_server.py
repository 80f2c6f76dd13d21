"""grpc.aio. Its two methods take and return JSON; grpc_client.py calls them."""

import asyncio

import grpc

import serving
import ways


async def healthy(request, context):
    return (await ways.rest()).encode()


async def block(request, context):
    return ways.block(request.decode()).encode()


async def main():
    server = grpc.aio.server()
    methods = {"healthy": grpc.unary_unary_rpc_method_handler(healthy), "block": grpc.unary_unary_rpc_method_handler(block)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Matrix", methods),))
    server.add_insecure_port("%s:%d" % (serving.HOST, serving.PORT))
    await server.start()
    serving.started()
    await server.wait_for_termination()


asyncio.run(main())
