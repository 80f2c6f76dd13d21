"""Difficult line numbers and names: expressions over many lines, decorators, lambdas, wrapped and compiled functions,
unusual identifiers."""

import asyncio
import functools

import oracle


async def pause(*arguments, **options):
    oracle.waits("sleep")
    return await asyncio.sleep(3600)


async def many_lines():
    return (
        1,
        2,
        await
        pause(
            3,
            x=4,
        ),
        5,
    )


async def chained():
    return (
        await pause()
    ).one(
    ).two(
        await pause()
    )


async def argument_of_a_call():
    print(
        1,
        *[2,
          3],
        sep=str(
            await pause(
                "a"
                "b"
            )
        ),
    )


async def operators(value=1):
    return (
        value
        +
        value *
        (await pause())
        -
        value
    )


async def boolean(value=True):
    return (
        value
        and not
        (await pause())
        or
        value
    )


async def conditional(value=True):
    return (
        (await pause())
        if value
        else
        None
    )


async def in_a_string():
    return f"""
    {
    await pause()
    }
    """


async def after_a_backslash():
    value = 1 + \
        2 + \
        (await pause())
    return value


async def several_on_a_line(): await asyncio.sleep(0); await asyncio.sleep(0); await pause(); await asyncio.sleep(0)


async def in_nested_blocks(value=3):
    while value:
        for number in range(
            value
        ):
            try:
                if number == 1:
                    with memoryview(b"x") as view:
                        assert (
                            await pause()
                        ), view
            except (
                ValueError,
                TypeError,
            ):
                pass
            finally:
                value -= 1


async def returns_in_a_finally():
    try:
        return 1
    finally:
        await pause()


async def assigns_to_a_subscript():
    {}[
        "x"
    ] = (
        await pause()
    )


async def with_a_default(
    first=1,
    second=(
        2
    ),
):
    # The first line of the function is far from
    # the line where it waits.



    await pause(
    )


def decorator(function):
    @functools.wraps(function)
    async def wrapper(*arguments):
        return await function(*arguments)

    return wrapper


@decorator
@decorator
async def decorated():
    await pause()


by_lambda = lambda: (
    pause()
)


async def awaits_a_lambda():
    await by_lambda()
    await (lambda: pause())()


class Outer:
    class Inner:
        async def method(self):
            async def local():
                await pause()

            await local()

        @staticmethod
        async def static():
            await pause()

        @classmethod
        async def of_class(cls):
            await cls.static()

        async def __private(self):
            await pause()

        async def calls_private(self):
            await self.__private()

    @property
    def by_property(self):
        return pause()

    async def awaits_a_property(self):
        await self.by_property


async def ünïcödé_任务():
    await pause()


def compiled(filename):
    names = {"pause": pause}
    exec(compile("\n\n\nasync def function():\n    1\n    await pause()\n", filename, "exec"), names)
    return names["function"]


def made_from_text():
    names = {"pause": pause}
    exec("async def function(): await pause()", names)
    return names["function"]


async def main():
    inner = Outer.Inner()
    shapes = [
        many_lines(), chained(), argument_of_a_call(), operators(), boolean(), conditional(), in_a_string(),
        after_a_backslash(), several_on_a_line(), in_nested_blocks(), returns_in_a_finally(),
        assigns_to_a_subscript(), with_a_default(), decorated(), awaits_a_lambda(), by_lambda(), inner.method(),
        inner.static(), inner.of_class(), inner.calls_private(), Outer().awaits_a_property(),
        ünïcödé_任务(), made_from_text()(),
    ]
    for filename in ("", "<generated>", "with space.py", "\u4efb\u52a1/\U0001f40d.py", "quote\"\\.py", "x" * 3000):
        shapes.append(compiled(filename)())
    for number, shape in enumerate(shapes):
        oracle.task(shape, "%02d %s" % (number, shape.__qualname__))
    await oracle.park()


oracle.run(main)
