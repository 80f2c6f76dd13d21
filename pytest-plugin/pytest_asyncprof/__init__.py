"""pytest plugin: records the test session from outside with asyncprof and fails tests whose event loop stalls.

The hooks are in ``plugin``; what they need is in ``budget`` (what a test may do), ``recorder`` (the asyncprof processes)
and ``judge`` (stalls and orphans against a budget, and how that reads).
"""
