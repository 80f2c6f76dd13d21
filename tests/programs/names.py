"""Ordinary and hostile task names."""

import asyncio

import oracle

NAMES = [
    "plain",
    "",
    "with spaces  and\ttabs\nand lines\r\n",
    "latin-1: \xe9\xff",
    "two bytes: \u4efb\u52a1 \u0437\u0430\u0434\u0430\u0447\u0430",
    "four bytes: \U0001f40d\U0001f680 \U00020000",
    "controls: \x00\x01\x07\x08\x1b\x7f\x9b",
    "ansi: \x1b[31mred\x1b[0m \x1b]0;title\x07",
    "bidi: \u202eevil\u202c \u2066x\u2069 \u200f",
    "zero width: a\u200bb\u2060c\ufeff",
    "combining: e\u0301\u0327",
    "quotes: ' \" ` \\ $(id) ;{}[]<>&|",
    "Task-999999999",
    "long: " + "x" * 900,
    "long and wide: " + "\u4efb" * 400,
]


async def sleeps():
    oracle.waits("sleep")
    await asyncio.sleep(3600)


async def main():
    for name in NAMES:
        oracle.task(sleeps(), name)
    task = oracle.task(sleeps())
    task.set_name(42)
    await oracle.park()


oracle.run(main)
