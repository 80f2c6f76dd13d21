"""Runs under sys.settrace with line and opcode events, for which the interpreter rewrites bytecode."""

import sys

import oracle
from suspended_everywhere import main


def trace(frame, event, argument):
    frame.f_trace_opcodes = True
    return trace


sys.settrace(trace)
oracle.run(main)
