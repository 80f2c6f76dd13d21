"""All 8 tokens of the worker threads are taken by tasks that wait for a connection; who would give one back waits for a token."""
# packages: anyio
import queue

import anyio
import anyio.to_thread

REQUESTS, TOKENS, CONNECTIONS = 60, 8, 3
connections = queue.Queue()
for number in range(CONNECTIONS):
    connections.put(number)


def take():
    return connections.get()  # the line that waits


def give_back(connection):
    connections.put(connection)


async def request(all_took):
    connection = await anyio.to_thread.run_sync(take)
    await all_took.wait()
    await anyio.to_thread.run_sync(give_back, connection)


async def main():
    limiter = anyio.to_thread.current_default_thread_limiter()
    limiter.total_tokens = TOKENS
    all_took = anyio.Event()
    async with anyio.create_task_group() as group:
        for number in range(REQUESTS):
            group.start_soon(request, all_took, name=f"GET /items/{number}")
        while not (connections.empty() and limiter.borrowed_tokens == TOKENS):
            await anyio.sleep(0)
        all_took.set()
        while limiter.statistics().tasks_waiting < REQUESTS - TOKENS:
            await anyio.sleep(0)
        print("ready", flush=True)


anyio.run(main)
