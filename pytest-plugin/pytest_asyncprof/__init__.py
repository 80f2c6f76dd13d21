"""pytest plugin: records the test session from outside with asyncprof and fails tests whose event loop stalls.

The hooks are in ``plugin``. They build on ``budget`` (the limits of a test), ``recorder`` (the asyncprof processes) and
``judge`` (checks stalls and orphans against a budget and formats the result).
"""
