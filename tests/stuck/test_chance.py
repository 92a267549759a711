"""Chance level of labels, and the sample that stands for them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_clr.stuck.chance import chance_level, class_indices, spread_over_classes


@pytest.mark.parametrize(
    ("labels", "kind", "accuracy", "entropy"),
    [
        ([0, 1, 1, 1], "binary", 0.75, 0.5623),
        ([[0], [1]], "binary", 0.5, 0.6931),
        ([True, False, False, False], "binary", 0.75, 0.5623),
        ([0.0, 1.0], "binary", 0.5, 0.6931),
        ([0, 1, 2, 2], "sparse", 0.5, 1.0397),
        ([7, 7, 9, 9], "sparse", 0.5, 0.6931),
        ([[1, 0, 0], [0, 1, 0]], "one-hot", 0.5, 0.6931),
        ([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]], "probabilities", 2 / 3, 0.6842),
    ],
)
def test_chance_of_every_kind_of_labels(labels, kind, accuracy, entropy):
    """Each kind of labels is recognised; accuracy is the largest share, cross-entropy the entropy of the shares."""
    chance = chance_level(labels)
    assert chance.kind == kind
    assert chance.accuracy == pytest.approx(accuracy)
    assert chance.cross_entropy == pytest.approx(entropy, abs=1e-4)
    assert chance.num_samples == len(labels)


def test_three_units_on_two_classes_freeze_at_one_half():
    """A class that no label has is no share: chance is 1/2, not one over the number of units."""
    chance = chance_level(np.eye(3)[np.arange(10) % 2])
    assert chance.shares == (0.5, 0.5)
    assert chance.accuracy == 0.5


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_one_hot_and_class_numbers_agree(classes):
    """The same labels, written in two ways, have the same chance level; and it is what counting gives."""
    sparse, one_hot = chance_level(classes), chance_level(np.eye(7)[classes])
    assert one_hot.accuracy == pytest.approx(sparse.accuracy)
    assert one_hot.cross_entropy == pytest.approx(sparse.cross_entropy)
    assert sparse.accuracy == max(classes.count(c) for c in classes) / len(classes)
    assert 0.0 <= sparse.cross_entropy <= math.log(len(set(classes))) + 1e-12
    assert list(class_indices(np.eye(7)[classes])) == classes


def test_labels_of_several_columns():
    """Each column has a chance of its own: the mean over them is what BinaryAccuracy and binary CE report."""
    chance = chance_level([[1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 1, 1]])
    assert (chance.kind, chance.shares) == ("multi-label", (0.25, 1.0, 0.25))
    assert chance.accuracy == pytest.approx((0.75 + 1 + 0.75) / 3)
    assert chance.cross_entropy == pytest.approx(2 * 0.5623 / 3, abs=1e-4)


def test_values():
    """A regression has no accuracy; answering the mean costs the variance, the median the mean deviation."""
    chance = chance_level([0.5, 0.5, 3.5])
    assert (chance.kind, chance.accuracy, chance.cross_entropy) == ("regression", None, None)
    assert chance.variance == pytest.approx(2.0)
    assert chance.deviation == pytest.approx(1.0)
    assert chance_level([-1, 1]).kind == chance_level([[0.2, 1.7]]).kind == "regression"


def test_the_task_decides_over_labels_that_may_be_either():
    """Counts 0..3 are classes unless the caller knows better; rows that sum to 1 may be labels of their own."""
    assert chance_level([0, 1, 2, 3]).kind == "sparse"
    assert chance_level([0, 1, 2, 3], "regression").variance == pytest.approx(1.25)
    assert chance_level([[1, 0], [0, 1]], "multi-label").accuracy == 0.5


def test_every_entry_of_a_sequence_counts():
    """Labels of tokens: class numbers (n, t) and one-hot (n, t, k) have the same chance."""
    tokens = np.array([[0, 1, 2], [2, 2, 2]])
    assert chance_level(tokens, "classes").accuracy == pytest.approx(4 / 6)
    assert chance_level(np.eye(3)[tokens]).accuracy == pytest.approx(4 / 6)


def test_top_k():
    """The k commonest classes together."""
    assert chance_level([0, 0, 0, 1, 1, 2]).top_k(2) == pytest.approx(5 / 6)


@pytest.mark.parametrize(
    ("labels", "task", "message"),
    [
        ([], None, "non-empty"),
        (np.zeros((0, 3)), None, "non-empty"),
        (3, None, "one for each sample"),
        ([0.0, math.nan], None, "finite"),
        ([0.0, math.inf], None, "finite"),
        ([-1, 1], "classes", "not be negative.*Received: .*smallest -1"),
        ([0.3, 1.7], "classes", "whole numbers"),
        ([[1, 2, 0]], "multi-label", "must be 0 or 1.*largest 2"),
        (["cat", "dog"], None, "numbers or booleans"),
    ],
)
def test_labels_without_a_chance_level_are_refused(labels, task, message):
    """What is not what it is said to be is refused with the reason and what was received."""
    with pytest.raises(ValueError, match=f"(?is){message}") as error:
        chance_level(labels, task)
    assert "Received: labels of shape" in str(error.value)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=80), st.integers(1, 40))
def test_the_spread_sample_is_as_even_as_the_classes_allow(classes, size):
    """No class is represented by more than one sample over another, unless the other has no more; no doubles."""
    classes = np.array(classes)
    kept = spread_over_classes(classes, size)
    assert len(set(kept)) == len(kept) == min(size, len(classes))
    counts = {c: int((classes[kept] == c).sum()) for c in set(classes)}
    for some, count in counts.items():
        exhausted = count == (classes == some).sum()
        assert exhausted or count >= max(counts.values()) - 1


def test_any_run_of_the_spread_sample_is_mixed():
    """Labels sorted by class still give batches with both classes."""
    kept = spread_over_classes(np.repeat([0, 1], 50), 40)
    assert (np.repeat([0, 1], 50)[kept].reshape(-1, 2).sum(axis=1) == 1).all()
