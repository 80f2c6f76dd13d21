"""Keeps objects of every shape alive and prints the facts about each: JSON on one line, then `ready`. Exits when stdin closes."""

import asyncio
import collections
import functools
import json
import math
import os
import sys
import sysconfig
import threading
import types
import weakref

alive = []
facts = []


def keep(obj):
    alive.append(obj)
    return obj


def fact(kind, obj, value, **more):
    keep(obj)
    facts.append(dict(more, kind=kind, at=id(obj), value=value))


def ids(items):
    return [id(item) for item in items]


def without_surrogates(text):
    return "".join("\ufffd" if 0xD800 <= ord(char) <= 0xDFFF else char for char in text)


# Text, built at run time, so that nothing is shared with the constants of this file.
for text in [
    "",
    "a",
    "ascii text of some length",
    "caf\xe9",
    "\xff" * 300,
    "\u017elu\u0165ou\u010dk\xfd",
    "\u4e2d\u6587" * 1000,
    "lone \ud800 surrogate",
    "pair \ud83d\ude00 of surrogates",
    "\U0001f40d snake",
    "lone \udcff in wide \U0001f40d",
    "x\x00y\n\x1b[31m",
    "p" * 65535,
    "q" * 65536,
]:
    fact("str", "".join(list(text)), without_surrogates(text))
fact("str", "l" * 65537, "l" * 65536 + "\u2026")
fact("str", "\U0001f40d" * 100000, "\U0001f40d" * 65536 + "\u2026")
fact("not str", 12345678, None)
fact("not str", ["a"], None)
for data in [b"", b"\x00\xff", bytes(range(256)) * 40]:
    fact("bytes", bytes(bytearray(data)), list(data))

# Numbers.
for power in range(0, 70, 3):
    for number in [2**power - 1, 2**power, -(2**power), -(2**power) - 1]:
        fact("int", number, str(number) if -(2**63) <= number < 2**63 else None)
for number in [0, 1, -1, 256, 257, -5, -6, 2**30, 2**60, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**100, True, False]:
    fact("int", number, str(int(number)) if -(2**63) <= number < 2**63 else None)
for number in [0.0, -1.5, math.pi, 1e300, float("inf")]:
    fact("float", number, number.hex())
fact("not float", 5000, None)

# Sequences.
for count in [0, 1, 2, 50, 3000]:
    items = [keep(object()) for _ in range(count)]
    fact("tuple", tuple(items), ids(items))
    fact("list", list(items), ids(items))
grown = [keep(object()) for _ in range(100)]
del grown[10:90]
fact("list", grown, ids(grown))

# Dicts.


def fact_dict(table):
    fact("dict", table, [[id(key), id(value)] for key, value in table.items()])
    for name in ["first", "name 7", "name 2999", "absent", "__name__"]:
        value = table.get(name)
        fact("find", table, None if value is None else id(value), name=name)


def named(count):
    table = {"first": object()}
    for number in range(count):
        table["name %d" % number] = object()
    return table


for count in [0, 4, 5, 10, 11, 100, 300, 3000, 70000]:
    fact_dict(named(count))
fact_dict({})
emptied = named(20)
emptied.clear()
fact_dict(emptied)
with_holes = named(100)
for number in range(0, 100, 3):
    del with_holes["name %d" % number]
with_holes["name 2999"] = object()
fact_dict(with_holes)
mixed = {1: object(), None: object(), (1, 2): object(), "first": object(), b"name 7": object(), "\xe9": object()}
fact_dict(mixed)
fact_dict({number: keep(object()) for number in range(1000)})
fact_dict(globals().copy())
fact_dict(dict(sys.modules))
fact_dict(math.__dict__)
fact_dict(collections.OrderedDict(named(10)))

# Sets.
for count in [0, 1, 5, 8, 200, 5000]:
    members = set(keep(object()) for _ in range(count))
    fact("set", members, sorted(ids(members)))
    fact("set", frozenset(members), sorted(ids(members)))
members = set(range(100000, 100400))
for number in range(100000, 100300):
    members.discard(number)
fact("set", members, sorted(ids(members)))

# Deques.
for count in [0, 1, 31, 32, 33, 63, 64, 65, 1000]:
    for turn in [0, 1, -1, 40, -200]:
        items = collections.deque(keep(object()) for _ in range(count))
        items.rotate(turn)
        fact("deque", items, ids(items))
items = collections.deque()
for number in range(500):
    items.append(keep(object()))
    if number % 3:
        items.popleft()
fact("deque", items, ids(items))


# Weak sets.
class Plain:
    pass


for count in [0, 3, 500, 5000]:
    members = weakref.WeakSet(keep(Plain()) for _ in range(count))
    fact("weak set", members, sorted(ids(members)))
mortal = [Plain() for _ in range(300)]
members = weakref.WeakSet(mortal)
# While an iterator is active, dead references stay in the set.
guard = keep(iter(members))
next(guard)
keep(mortal[::2])
del mortal
forgotten = [Plain() for _ in range(100)]
# 3.14 iterates over a copy, so there only a reference without the set's callback stays.
members.data.update(weakref.ref(obj) for obj in forgotten)
del forgotten
fact("weak set", members, sorted(id(reference()) for reference in members.data if reference() is not None))


# Attributes.
class Meta(type):
    pass


class Managed(Plain, metaclass=Meta):
    default = "of the class"


class Slots:
    __slots__ = ("one", "two")


class MoreSlots(Slots):
    __slots__ = ("three", "__weakref__")


class SlotsAndDict(MoreSlots):
    pass


class OfInt(int):
    pass


class OfTuple(tuple):
    pass


class OfBytes(bytes):
    pass


class OfDict(dict):
    pass


class OfList(list):
    pass


class OfError(Exception):
    pass


class OfWeakSet(weakref.WeakSet):
    pass


def fact_attributes(obj, *names):
    own = vars(obj)
    for name in names + ("absent",):
        fact("attribute", obj, id(own[name]) if name in own else None, name=name)


def fill(obj, count=3):
    for number in range(count):
        setattr(obj, "attr_%d" % number, keep(object()))
    return obj


ATTRIBUTES = ("attr_0", "attr_1", "attr_2", "attr_29", "attr_30", "attr_50", "default", "late")


def expected(obj, name, count):
    """The id of `attr_N` of an untouched object, without reading its `__dict__`, which would change how it is stored."""
    return id(getattr(obj, name)) if name in ["attr_%d" % number for number in range(count)] else None


for cls in [Plain, Managed, SlotsAndDict, OfError]:
    for count in [0, 1, 3, 31, 60]:
        untouched = fill(cls(), count)
        for name in ATTRIBUTES:
            fact("attribute", untouched, expected(untouched, name, count), name=name)
for make in [
    Plain,
    Managed,
    SlotsAndDict,
    OfError,
    OfDict,
    OfList,
    OfWeakSet,
    OfInt,
    lambda: OfInt(2**100),
    lambda: OfInt(-(2**100)),
    OfTuple,
    lambda: OfTuple(range(7)),
    lambda: OfBytes(b"12345"),
    lambda: types.SimpleNamespace(default=1),
    lambda: types.ModuleType("made"),
]:
    fact_attributes(fill(make()), *ATTRIBUTES)
    fact_attributes(make(), *ATTRIBUTES)
    many = fill(make(), 60)
    fact_attributes(many, *ATTRIBUTES)
deleted = fill(Managed())
del deleted.attr_1
fact_attributes(deleted, *ATTRIBUTES)
late = fill(Managed())
late.__dict__["late"] = object()
fact_attributes(late, *ATTRIBUTES)
replaced = fill(Managed())
replaced.__dict__ = {"late": object(), "default": object()}
fact_attributes(replaced, *ATTRIBUTES)
unordered = Managed()
unordered.attr_2 = object()
unordered.attr_0 = object()
fact("attribute", unordered, id(unordered.attr_0), name="attr_0")
fact("attribute", unordered, None, name="attr_1")
fact("attribute", unordered, id(unordered.attr_2), name="attr_2")
fact("attribute", object(), None, name="attr_0")
fact("attribute", collections, id(collections.deque), name="deque")
fact("attribute", Managed, id(Managed.default), name="default")
for cls in [Slots, MoreSlots, SlotsAndDict]:
    slotted = cls()
    slotted.one = object()
    fact("slot", slotted, id(slotted.one), name="one")
    fact("slot", slotted, None, name="two")
    if cls is not Slots:
        slotted.three = object()
        fact("slot", slotted, id(slotted.three), name="three")
    fact("slot", slotted, None, name="absent")
partial = functools.partial(print, 1)
fact("slot", partial, id(partial.func), name="func")
fact("slot", partial, id(partial.args), name="args")

# Types.


def make_local():
    class Local:
        pass

    return Local


class Odd:
    __module__ = 5


for cls, name in [
    (int, "int"),
    (type, "type"),
    (object, "object"),
    (type(None), "NoneType"),
    (collections.deque, "collections.deque"),
    (collections.OrderedDict, "collections.OrderedDict"),
    (Plain, "__main__.Plain"),
    (Meta, "__main__.Meta"),
    (Managed, "__main__.Managed"),
    (make_local(), "__main__.make_local.<locals>.Local"),
    (weakref.WeakSet, "_weakrefset.WeakSet"),
    (Odd, "Odd"),
]:
    fact(
        "type",
        cls,
        name,
        basicsize=cls.__basicsize__,
        itemsize=cls.__itemsize__,
        flags=cls.__flags__,
        dictoffset=cls.__dictoffset__,
        base=id(cls.__base__) if cls.__base__ else None,
        heap=bool(cls.__flags__ & 1 << 9),
    )
fact("subtype", OfError, True, name="Exception")
fact("subtype", OfInt, True, name="int")
fact("subtype", Managed, False, name="int")
fact("not type", object(), None)
fact("not type", [], None)



async def main():
    """Prints while a loop runs, with a task that was cancelled twice and still waits."""
    import _asyncio

    waiters = [asyncio.get_running_loop().create_future() for _ in range(3)]
    waiter = waiters[-1]

    async def stubborn():
        for future in waiters:
            try:
                await future
            except asyncio.CancelledError:
                pass

    coro = stubborn()
    task = asyncio.create_task(coro, name="a task of the zoo")
    await asyncio.sleep(0)
    for _ in range(2):
        task.cancel()
        for _ in range(3):
            await asyncio.sleep(0)
    print(
        json.dumps(
            {
                "hex": sys.hexversion,
                "free_threaded": bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
                "facts": facts,
                "runtime": runtime_address(),
                "main": id(sys.modules["__main__"]),
                "thread": threading.get_ident(),
                "executing": {"thread_state": thread_state(), "coro": id(asyncio.current_task().get_coro())},
                "asyncio": {
                    "file": getattr(_asyncio, "__file__", None) or os.path.realpath(sys.executable),
                    "loop": id(asyncio.get_running_loop()),
                    "task": id(task),
                    "task_size": _asyncio.Task.__basicsize__,
                    "coro": id(coro),
                    "waiter": id(waiter),
                },
            }
        )
    )
    print("ready", flush=True)
    sys.stdin.read()
    # Exit without destroying all these objects.
    os._exit(0)


def thread_state():
    import ctypes

    ask = ctypes.pythonapi.PyThreadState_Get
    ask.restype = ctypes.c_void_p
    return ask()


def runtime_address():
    if sys.version_info < (3, 13):
        return None
    import ctypes

    return ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))


asyncio.run(main())
