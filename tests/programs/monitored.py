"""Runs under sys.monitoring with all events, so that every instruction is instrumented."""
# needs: 3.12

import sys

import oracle
from suspended_everywhere import main

TOOL = sys.monitoring.PROFILER_ID
EVENTS = sys.monitoring.events
sys.monitoring.use_tool_id(TOOL, "oracle")
every = 0
for name in ("PY_START", "PY_RESUME", "PY_RETURN", "PY_YIELD", "CALL", "LINE", "INSTRUCTION", "JUMP", "PY_UNWIND"):
    event = getattr(EVENTS, name)
    sys.monitoring.register_callback(TOOL, event, lambda *arguments: None)
    every |= event
sys.monitoring.set_events(TOOL, every)
oracle.run(main)
