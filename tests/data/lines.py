"""Compiles modules of the standard library and prints a line for each code object: its line table, and how the interpreter
decodes it, as JSON of [hex table, first line, [start, end, line] ranges]."""

import dis
import glob
import json
import os
import sys
import types
import warnings

warnings.simplefilter("ignore")


def ranges(code):
    if hasattr(code, "co_lines"):
        return [list(entry) for entry in code.co_lines()]
    starts = list(dis.findlinestarts(code))
    ends = [start for start, _ in starts[1:]] + [len(code.co_code)]
    return [[start, end, line] for (start, line), end in zip(starts, ends)]


def walk(code):
    table = code.co_linetable if hasattr(code, "co_linetable") else code.co_lnotab
    print(json.dumps([table.hex(), code.co_firstlineno, ranges(code)]))
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            walk(constant)


library = os.path.dirname(os.__file__)
for path in sorted(glob.glob(library + "/*.py"))[::6] + sorted(glob.glob(library + "/asyncio/*.py")):
    # Some distributions link modules to files that an administrator may not have installed.
    if os.path.isfile(path):
        with open(path, encoding="utf-8") as file:
            walk(compile(file.read(), path, "exec", dont_inherit=True))
# Line steps larger than a byte, backward steps, and statements over several lines.
walk(compile("x = (\n" + "\n" * 400 + "y,\n" + "\n" * 70000 + "z)\nw = f(a,\n b)", "far", "exec"))
walk(compile("def f():\n  " + "\n  ".join("x%d = %s" % (n, "+".join(["y"] * 90)) for n in range(40)), "long", "exec"))
sys.stdout.flush()
