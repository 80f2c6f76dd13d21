"""A marker with a misspelled limit."""

import pytest


@pytest.mark.asyncprof(max_stal="100ms")
def test_passes():
    pass
