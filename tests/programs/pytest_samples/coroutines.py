"""Coroutine tests, run by a pytest plugin that owns the loop."""

import asyncio
import time

import pytest


@pytest.mark.asyncio
@pytest.mark.asyncprof(max_stall="200ms")
async def test_blocks():
    await asyncio.sleep(0.3)
    time.sleep(1)  # blocks
    await asyncio.sleep(0.01)


async def forgotten():
    await asyncio.sleep(300)


@pytest.mark.asyncio
@pytest.mark.asyncprof(max_orphans=0)
async def test_forgets_a_task():
    asyncio.get_running_loop().create_task(forgotten(), name="forgotten")
    await asyncio.sleep(0.01)


@pytest.mark.asyncio
@pytest.mark.asyncprof(max_stall="200ms", max_orphans=0)
async def test_keeps_its_task():
    task = asyncio.get_running_loop().create_task(asyncio.sleep(0.4))
    await task


@pytest.mark.asyncio
@pytest.mark.asyncprof(max_orphans=1)
async def test_may_forget_one():
    asyncio.get_running_loop().create_task(forgotten(), name="forgotten")
    await asyncio.sleep(0.01)
