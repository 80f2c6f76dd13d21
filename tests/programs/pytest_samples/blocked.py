"""Tests with a budget: one blocks its loop in the first step, one later, one waits properly."""

import asyncio
import time

import pytest


def fetch():
    time.sleep(1)  # blocks


@pytest.mark.asyncprof(max_stall="200ms")
def test_blocks_in_the_first_step():
    async def main():
        fetch()

    asyncio.run(main())


@pytest.mark.asyncprof(max_stall="200ms")
def test_blocks_later():
    async def main():
        await asyncio.sleep(0.3)
        fetch()
        await asyncio.sleep(0.05)

    asyncio.run(main())


@pytest.mark.asyncprof(max_stall="200ms")
def test_waits():
    asyncio.run(asyncio.sleep(0.4))


@pytest.mark.asyncprof(max_stall=60.0, max_stalls=0)
def test_allows_no_stall():
    test_blocks_later()


def test_without_a_budget():
    test_blocks_later()


@pytest.mark.xfail(strict=True)
@pytest.mark.asyncprof(max_stall="200ms")
def test_is_known_to_block():
    test_blocks_later()
