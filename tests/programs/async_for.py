"""`async for` over async generators (also nested), over a class, and in comprehensions."""

import asyncio

import oracle


async def pause():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def numbers():
    yield 1
    await pause()
    yield 2


async def doubled(source):
    async for number in source:
        yield 2 * number


class Countdown:
    def __aiter__(self):
        return self

    async def __anext__(self):
        await pause()


class Futures:
    """Its __anext__ returns a future, so it adds no frame to the stack."""

    def __aiter__(self):
        return self

    def __anext__(self):
        oracle.waits("future")
        return asyncio.get_event_loop().create_future()


async def consume(source):
    total = 0
    async for number in source:
        total += number
    return total


async def listed(source):
    return [number async for number in source]


async def keyed(source):
    return {True: number async for number in source}


async def generator_expression(source):
    return await consume(number async for number in source)


async def awaits_inside():
    return [await pause() for _ in range(3)]


async def awaits_inside_lazily():
    return await consume(await pause() for _ in range(3))


async def main():
    oracle.task(consume(numbers()), "one")
    oracle.task(consume(doubled(doubled(doubled(numbers())))), "three deep")
    oracle.task(consume(Countdown()), "class")
    oracle.task(consume(Futures()), "futures")
    oracle.task(listed(numbers()), "comprehension")
    oracle.task(keyed(doubled(numbers())), "dict comprehension")
    oracle.task(generator_expression(numbers()), "generator expression")
    oracle.task(awaits_inside(), "await in a comprehension")
    oracle.task(awaits_inside_lazily(), "await in a generator expression")
    await oracle.park()


oracle.run(main)
