"""Tests that do not use asyncio."""

import time


def test_adds():
    assert 1 + 1 == 2


def test_sleeps():
    time.sleep(0.3)
