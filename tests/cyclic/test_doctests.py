"""The examples in the docstrings run as they stand, and end in what they say."""

import doctest
import importlib
import sys

import pytest
from any_keras import keras


@pytest.mark.parametrize("module", ["callback", "schedule", "preview", "one_cycle_callback", "one_cycle_schedule"])
def test_examples(module, monkeypatch):
    """Every example of the public docstrings is true, with the Keras that is meant under the name `keras`."""
    monkeypatch.setitem(sys.modules, "keras", keras)
    results = doctest.testmod(importlib.import_module(f"keras_clr.cyclic.{module}"))
    assert results.attempted > 0
    assert results.failed == 0
