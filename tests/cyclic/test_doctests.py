"""The examples in the docstrings run as they stand, and end in what they say."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("module", ["callback", "schedule", "preview", "one_cycle_callback", "one_cycle_schedule"])
def test_examples(module):
    """Every example of the public docstrings is true."""
    results = doctest.testmod(importlib.import_module(f"keras_clr.cyclic.{module}"))
    assert results.attempted > 0
    assert results.failed == 0
