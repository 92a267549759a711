"""The examples in the docstrings run as they stand, and end in what they say."""

import doctest
import importlib

import pytest

pytest.importorskip("scipy", reason="a study needs the extra `study`")


@pytest.mark.parametrize("module", ["plan", "result", "statistics", "study"])
def test_examples(module):
    """Every example of the public docstrings is true."""
    results = doctest.testmod(importlib.import_module(f"keras_clr.study.{module}"))
    assert results.attempted > 0
    assert results.failed == 0
