"""The record that stays small."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_clr.cyclic.history import BoundedHistory


def filled(num_records, limit):
    history = BoundedHistory(limit)
    for step in range(num_records):
        history.append(step, step / 2, step / 4)
    return history


def test_short_runs_are_kept_whole():
    """Up to the limit, every record is there."""
    assert filled(10, limit=10).steps == list(range(10))


def test_long_runs_are_thinned_by_two():
    """One record more than the limit drops every second one, and from then on every second one is kept."""
    assert filled(11, limit=10).steps == [0, 2, 4, 6, 8, 10]
    assert filled(20, limit=10).steps == [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]


@given(st.integers(1, 3000), st.integers(2, 40))
def test_bounded_and_even(num_records, limit):
    """Whatever the length: within the limit, the first record there, evenly spaced, each with its own rate."""
    history = filled(num_records, limit)
    assert 1 <= len(history.steps) <= limit
    assert history.steps[0] == 0
    gaps = set(np.diff(history.steps).tolist())
    assert len(gaps) <= 1
    assert num_records - history.steps[-1] <= max(gaps, default=1)
    assert history.rates == [step / 2 for step in history.steps]
    assert history.momenta == [step / 4 for step in history.steps]


def test_the_default_limit():
    """A run of a million batches is kept in at most 10,000 records, and in more than half as many."""
    history = filled(1_000_000, limit=10_000)
    assert 5_000 < len(history.steps) <= 10_000
    default = BoundedHistory()
    for step in range(10_001):
        default.append(step, 0.0)
    assert len(default.steps) == 5_001


@given(st.integers(1, 500), st.integers(2, 20), st.sets(st.integers(1, 500)))
def test_forgetting_leaves_no_trace(num_records, limit, phantoms):
    """Records that were taken back at once are as if they had never been, thinned out or not."""
    plain, disturbed = BoundedHistory(limit), BoundedHistory(limit)
    for step in range(num_records):
        plain.append(step, 1.0)
        disturbed.append(step, 1.0)
        if step in phantoms:
            disturbed.append(step + 1, 1.0)
            disturbed.forget_last()
    assert set(disturbed.steps) <= set(range(num_records))
    assert len(disturbed.steps) == len(set(disturbed.steps))
    # The phantom may have brought the thinning forward by one record: then only every second one is left.
    assert disturbed.steps in (plain.steps, plain.steps[::2])


@pytest.mark.parametrize("kept", [True, False])
def test_forgetting_two_records_of_one_step(kept):
    """Under accumulation two batches share a step: only the newest record goes, and only if it was kept."""
    history = filled(4, limit=4)
    if not kept:
        history = filled(7, limit=4)  # Every second one is kept: the next is not.
    before = list(history.steps)
    history.append(history.steps[-1], 0.0)
    history.forget_last()
    assert history.steps in (before, before[::2])
