"""A test that computes in its loop for longer than its budget allows."""

import asyncio
import time

import pytest


def compute():
    end = time.process_time() + 1
    total = 0
    while time.process_time() < end:
        total += sum(range(500))  # computes
    return total


@pytest.mark.asyncprof(max_stall="200ms")
def test_computes():
    async def main():
        await asyncio.sleep(0.3)
        compute()
        await asyncio.sleep(0.05)

    asyncio.run(main())
