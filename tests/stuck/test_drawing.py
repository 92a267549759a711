"""The picture of a run."""

import dataclasses
import re
import sys

import numpy as np
import pytest
from stuck.diagnoses import DIVERGED, FROZEN, NOTHING, REGRESSION, history

from keras_clr.stuck.diagnosis import Diagnosis
from keras_clr.stuck.state import State

plt = pytest.importorskip("matplotlib.pyplot", reason="drawing needs the extra `plot`")


@pytest.fixture
def axes():
    figure, ax = plt.subplots()
    yield ax
    plt.close(figure)


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def test_the_picture_shows_what_was_seen_and_chance(axes):
    """Epochs from 1, each accuracy where it was seen, the chance line, each state once in the legend."""
    assert FROZEN.plot(axes) is axes
    drawn = lines(axes)
    assert list(drawn) == ["training", "validation", "probe", "chance, 0.5000"]
    assert drawn["training"].get_xydata().tolist() == [[1, 0.52], [2, 0.5], [3, 0.5], [4, 0.5]]
    assert drawn["probe"].get_xydata().tolist() == [[1, 0.5], [3, 0.5], [4, 0.5]]
    # matplotlib before 3.9 draws a span as a polygon.
    to_data = axes.transData.inverted()
    left = [patch.get_window_extent().transformed(to_data).x0 for patch in axes.patches]
    assert left == pytest.approx([0.5, 1.5, 3.5])
    legend = [text.get_text() for text in axes.get_legend().get_texts()]
    assert legend[:3] == ["too early to tell", "at chance so far", "frozen"]
    assert axes.get_xlim() == (0.5, 4.5)


def test_noise_at_chance_does_not_look_like_a_course(axes):
    """The axis reaches at least `margin` to both sides of chance; it never leaves [0, 1] by more than a line."""
    FROZEN.plot(axes)
    low, high = axes.get_ylim()
    assert 0.4 <= low <= 0.45
    assert 0.55 <= high <= 0.65


def test_chance_is_always_in_the_picture(axes):
    """Also where the run is far above it."""
    dataclasses.replace(FROZEN, history=history([State.LEARNING] * 2, accuracy=[0.8, 0.9])).plot(axes)
    assert axes.get_ylim()[0] < 0.5


def test_accuracies_of_1_are_not_cut(axes):
    """The axis ends just above 1."""
    dataclasses.replace(FROZEN, history=history([State.LEARNING] * 2, accuracy=[0.6, 1.0])).plot(axes)
    assert 1.0 < axes.get_ylim()[1] < 1.02


def test_the_chance_of_the_metric_counts(axes):
    """A top-5 accuracy has its own chance, which the evidence has."""
    dataclasses.replace(FROZEN, evidence={"chance_accuracy": 0.9, "margin": 0.01}).plot(axes)
    assert "chance, 0.9000" in lines(axes)


def test_a_regression_shows_its_losses(axes):
    """There is no accuracy: losses on a logarithmic axis when they span decades, and the best constant's."""
    REGRESSION.plot(axes)
    drawn = lines(axes)
    assert list(drawn) == ["training", "probe", "best constant answer, 0.9"]
    assert (axes.get_ylabel(), axes.get_yscale()) == ("loss", "log")


def test_a_loss_that_is_no_number_is_a_cross_and_a_gap(axes):
    """The finite losses keep their axis, the others are marked where they were."""
    DIVERGED.plot(axes)
    drawn = lines(axes)
    np.testing.assert_array_equal(drawn["training"].get_ydata(), [0.7, np.nan, 0.8, np.nan])
    assert drawn["nan or infinite"].get_xdata().tolist() == [2, 4]
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[1] < 1.0


@pytest.mark.parametrize(
    ("losses", "scale"),
    [([1.0, 100.0], "log"), ([1.0, 99.0], "linear"), ([0.0, 100.0], "linear"), ([-1.0, 100.0], "linear")],
)
def test_only_positive_losses_over_decades_are_on_a_logarithmic_axis(axes, losses, scale):
    """From a factor of 100 on; a loss of 0 has no logarithm."""
    Diagnosis(State.TOO_EARLY, history=history([State.TOO_EARLY] * 2, loss=losses)).plot(axes)
    assert axes.get_yscale() == scale


def test_without_an_epoch_the_picture_says_so(axes):
    """Nothing is drawn, and no legend warns."""
    NOTHING.plot(axes)
    assert [text.get_text() for text in axes.texts] == ["No epoch has been seen yet."]


def test_states_of_one_colour_differ_in_their_hatch(axes):
    """Colour is not the only sign."""
    Diagnosis(State.LEARNING, history=history(list(State), loss=[1.0] * len(State))).plot(axes)
    looks = {patch.get_label(): (patch.get_facecolor(), patch.get_hatch()) for patch in axes.patches}
    del looks[State.NOT_TRAINED.value]  # There is no epoch in this state.
    assert len(set(looks.values())) == len(looks) == len(State) - 1


def test_a_new_axes_is_made_and_nothing_else_stays_open():
    """`plot` without Axes opens one figure; a page opens none."""
    before = plt.get_fignums()
    ax = FROZEN.plot()
    assert plt.get_fignums() == [*before, ax.figure.number]
    plt.close(ax.figure)
    FROZEN.to_html()
    assert plt.get_fignums() == before


def test_drawing_needs_matplotlib(monkeypatch):
    """The error names the extra."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=re.escape('pip install "keras-clr[plot]"')):
        FROZEN.plot()
