"""Long line tables: thousands of lines, jumps of hundreds of lines forwards and backwards, very long lines, and line
numbers in an order that no source file produces."""

import ast
import asyncio
import random

import oracle


async def pause(*arguments):
    oracle.waits("sleep")
    return await asyncio.sleep(3600)


def function_of(source, name="function"):
    names = {"pause": pause}
    exec(compile(source, "<%s>" % name, "exec"), names)
    return names["function"]


def many_lines(count, wait_at):
    body = ["    x = %d" % number for number in range(count)]
    body[wait_at] = "    await pause()"
    return "async def function():\n" + "\n".join(body)


def far_apart(gap):
    return "async def function():\n    x = 1" + "\n" * gap + "    x = 2" + "\n" * gap + "    await pause(x)\n    x = 3"


def backwards(gap):
    """The call is on an earlier line than its last argument."""
    return "async def function():\n    await pause(\n        1," + "\n" * gap + "        2,\n    )"


def awaits_among_arguments(gap):
    return "async def function():\n    print(\n        1," + "\n" * gap + "        await pause(" + "\n" * gap + "),\n    )"


def long_line(terms):
    return "async def function():\n    return " + " + ".join(["1 * x"] * terms) + " + (await pause())\n    x = 1"


def many_branches(count, wait_at):
    lines = ["async def function(x=1):"]
    for number in range(count):
        lines += ["    if x == %d:" % -number, "        x += 1", "    else:", "        pass"]
        if number == wait_at:
            lines += ["    for _ in range(2):", "        await pause()"]
    return "\n".join(lines)


def shuffled(seed):
    """Each statement gets a random line between 1 and 100,000."""
    numbers = random.Random(seed)
    tree = ast.parse(many_lines(600, numbers.randrange(600)))
    for statement in tree.body[0].body:
        line = numbers.randrange(1, 100000)
        for node in ast.walk(statement):
            if hasattr(node, "lineno"):
                node.lineno = node.end_lineno = line
    return tree


async def main():
    shapes = {
        "3000 lines, at the end": many_lines(3000, 2999),
        "3000 lines, in the middle": many_lines(3000, 1500),
        "3000 lines, at the start": many_lines(3000, 0),
        "300 branches": many_branches(300, 250),
        "long line": long_line(700),
    }
    for gap in (1, 15, 16, 63, 64, 126, 127, 128, 129, 254, 255, 256, 300, 1000, 5000, 70000):
        shapes["gap of %d" % gap] = far_apart(gap)
        shapes["back by %d" % gap] = backwards(gap)
        shapes["among arguments, %d" % gap] = awaits_among_arguments(gap)
    for seed in range(40):
        shapes["shuffled %d" % seed] = shuffled(seed)
    for name, source in shapes.items():
        oracle.task(function_of(source, name)(), name)
    await oracle.park()


oracle.run(main)
