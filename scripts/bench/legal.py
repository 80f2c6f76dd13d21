"""Checks stacks of tests/programs/legal_stacks.py, from any sampler, against the tree that the program writes.

A stack is a list of (function, file, line), outermost first. Not every tool reports lines or folders, so a missing line is not
checked and file names are compared without folders.
"""

import json
import os


class Legal:
    """The tree of legal stacks."""

    def __init__(self, path):
        with open(path) as file:
            data = json.load(file)
        self.file = os.path.basename(data["file"])
        self.roots = data["tree"]

    def fault_of(self, stack, torn=False):
        """What makes a stack impossible, or None. The frames of a torn stack must be the outer part of a legal one."""
        nodes, above = self.roots, None
        for position, (function, file, line) in enumerate(stack):
            at = [node for node in nodes if is_named(node, function) and same_file(node["file"], file)]
            if not at:
                return "%s cannot be below %s" % (shown(stack[position]), shown(above))
            nodes, above = [], stack[position]
            if position + 1 < len(stack):
                nodes = [child for node in at for child in calls_at(node, line)]
                if not nodes:
                    return "%s calls nothing on that line" % shown(above)
            elif line is not None and not any(node["lines"][0] <= line <= node["lines"][1] for node in at):
                return "%s is outside its function" % shown(above)
        return None if stack or torn else "no frames"

    def below(self, function):
        """A tree of stacks that start at this function, for tools that show only a task's coroutines."""
        judge = object.__new__(Legal)
        judge.file, judge.roots, waiting = self.file, [], list(self.roots)
        while waiting:
            node = waiting.pop()
            if node["function"] == function:
                judge.roots.append(node)
            else:
                waiting += [child for children in node["calls"].values() for child in children]
        return judge


def is_named(node, function):
    """Whether a function has the node's name; a qualified name ends with the plain one."""
    return function.rsplit(".", 1)[-1] == node["function"]


def same_file(one, other):
    return os.path.basename(one) == os.path.basename(other)


def calls_at(node, line):
    if line is None:
        return [child for children in node["calls"].values() for child in children]
    return node["calls"].get(str(line), [])


def shown(frame):
    return "%s (%s:%s)" % (frame[0], os.path.basename(frame[1]), frame[2]) if frame else "the root"


def planted(legal):
    """All legal stacks of the tree, and each of them made impossible in several ways; yields (stack, is_legal)."""
    for path in paths(legal.roots, []):
        yield path, True
        if len(path) > 3:
            middle = len(path) // 2
            function, file, line = path[middle]
            yield path[:middle] + [(function, file, line + 1000)] + path[middle + 1 :], False
            yield path[:-2] + [("nowhere", file, line)] + path[-1:], False
            yield path[1:], False
            yield path[:-1] + [(path[-1][0], path[-1][1], 1)], False


def paths(nodes, above):
    for node in nodes:
        yield above + [(node["function"], node["file"], node["lines"][1])]
        for line, children in node["calls"].items():
            yield from paths(children, above + [(node["function"], node["file"], int(line))])


def check_itself(legal):
    """Tests the checker: one that accepts everything would let every sampler pass."""
    wrong = [(path, right) for path, right in planted(legal) if (legal.fault_of(path) is None) != right]
    if wrong:
        raise SystemExit("the checker is wrong: %r, %s" % wrong[0])
