"""`LRCurve`: what follows from a measured curve."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import keras_clr
from keras_clr.finder.curve import LRCurve, Probe
from keras_clr.finder.errors import FlatCurveError, LRFinderError, TooFewPointsError
from keras_clr.finder.rules import descent

RATES = tuple(np.geomspace(1e-6, 1.0, 80))
# Falls from 1 to 0.2 around 1e-2 and rises again.
LOSSES = tuple(1 - 0.8 / (1 + (2e-3 / r) ** 2) + (r / 0.3) ** 3 for r in RATES)


def curve(noise=0.0, **arguments):
    """A well-shaped curve."""
    losses = np.array(LOSSES) + noise * np.random.default_rng(0).normal(size=len(LOSSES))
    return LRCurve(RATES, tuple(losses), end="the loss diverged", updates_per_epoch=10.0, **arguments)


def test_json_round_trip():
    """A curve with probes comes back equal from JSON text."""
    original = curve(probes=(Probe(0.01, (1.0, 0.5)), Probe(0.1, (1.0,), diverged=True)), momentum=0.9)
    again = LRCurve.from_json(json.dumps(json.loads(original.to_json())))
    assert again == original
    assert again.momentum == 0.9


def test_a_curve_that_was_stored_without_momentum_can_be_read():
    """It counts as one of an optimizer without momentum."""
    stored = curve().to_dict()
    del stored["momentum"]
    assert LRCurve.from_json(json.dumps(stored)) == curve()


def test_it_is_immutable():
    """A result does not change after it was measured."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        curve().rates = ()


def test_the_best_probe_is_the_suggestion():
    """Lowest mean loss over the last third; a diverged probe never wins."""
    probes = (Probe(0.001, (1.0, 0.9, 0.8)), Probe(0.01, (1.0, 0.6, 0.3)), Probe(0.1, (0.1,), diverged=True))
    assert curve(probes=probes).suggest() == 0.01


def test_without_probes_the_suggestion_is_that_of_descent_for_this_momentum():
    """With probes it can be asked for by name."""
    expected = descent(np.array(RATES), np.array(LOSSES), 0.9)
    assert curve(momentum=0.9).suggest() == expected
    assert curve(momentum=0.9, probes=(Probe(1e-5, (1.0,)),)).suggest("descent") == expected
    assert curve().suggest() > 2 * expected


def test_no_surviving_probe_is_an_error_that_says_what_to_do():
    """Nothing is suggested when all candidates diverged."""
    with pytest.raises(LRFinderError, match="diverged at every candidate rate"):
        curve(probes=(Probe(0.1, (1.0,), diverged=True),)).suggest()


def test_too_few_points_and_flat_curves_are_typed_errors():
    """The message has the numbers and the change to make."""
    with pytest.raises(TooFewPointsError, match="12 points, need 20: raise num_steps or lower min_lr"):
        LRCurve(RATES[:12], LOSSES[:12]).suggest()
    with pytest.raises(FlatCurveError, match="never fell by more than the noise"):
        LRCurve(RATES, (0.7,) * 80).suggest()


def test_an_unknown_rule_is_refused():
    """The message lists the rules there are."""
    with pytest.raises(ValueError, match=r"`rule` must be one of .*'valley'"):
        curve().suggest("valey")


def test_every_rule_suggests_a_rate_within_the_range():
    """All rules of other finders are at hand on the same curve."""
    for rule in (
        "descent",
        "smooth-minimum",
        "minimum",
        "steepest",
        "valley",
        "slide",
        "gradient-by-index",
        "gradient-by-rate",
        "before-minimum",
    ):
        assert RATES[0] <= curve().suggest(rule) * 10
        assert curve().suggest(rule) <= RATES[-1]


def test_the_bounds_hold_the_suggestion_between_them():
    """base_lr < suggested rate <= max_lr."""
    low, high = curve().suggest_bounds()
    assert 0 < low < curve().suggest() <= high


def test_cyclic_lr_is_a_ready_callback_of_whole_epochs():
    """It trains from the lower to the upper suggested bound within two epochs, whatever these have of batches."""
    clr = curve().cyclic_lr()
    assert isinstance(clr, keras_clr.CyclicLR)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.zeros((10, 1)), np.zeros(10), batch_size=2, epochs=3, callbacks=[clr], verbose=0)
    rates = clr.history["learning_rate"]
    assert (rates[0], rates[10]) == pytest.approx(curve().suggest_bounds())
    assert max(rates) == rates[10]


def test_the_interval_is_about_the_suggestion_and_widens_with_noise_and_level():
    """More noise, more doubt; more certainty, a wider one; the same one whenever it is asked for."""
    for measured in (curve(1e-3), curve(0.3), curve(0.1, momentum=0.9)):
        low, high = measured.interval()
        assert low < measured.suggest() < high
        assert measured.interval() == (low, high)
        half_low, half_high = measured.interval(0.5)
        assert low < half_low < half_high < high
    quiet, noisy = curve(1e-3).interval(), curve(0.3).interval()
    assert noisy[1] / noisy[0] > quiet[1] / quiet[0]


def test_without_noise_the_interval_is_what_sweeps_differ_by():
    """1.96 standard deviations of 0.15 decades to each side."""
    low, high = curve().interval()
    assert np.log10(high / low) == pytest.approx(2 * 1.96 * 0.15, rel=0.02)


def test_the_interval_is_not_moved_by_how_far_the_loss_blew_up():
    """Beyond the minimum the loss may be anything."""
    measured = curve(0.02)
    losses = (*measured.losses[:-3], 50.0, 300.0, 2000.0)
    low, high = dataclasses.replace(measured, losses=losses).interval()
    assert np.log10(high / low) == pytest.approx(np.log10(np.divide(*measured.interval()[::-1])), rel=0.2)


def test_low_confidence():
    """A fall lost in noise, or a lowest loss at the end of the range; not a clear one within."""
    assert not curve(1e-3).low_confidence
    assert LRCurve(RATES, tuple(np.random.default_rng(0).normal(size=80))).low_confidence
    end = int(np.argmin(LOSSES)) - 5
    assert LRCurve(RATES[:end], LOSSES[:end]).low_confidence


def test_smoothing_does_not_shift_the_minimum():
    """Zero phase: the lowest point of a symmetric valley stays where it is."""
    losses = (np.log10(RATES) + 3) ** 2
    smoothed = LRCurve(RATES, tuple(losses)).smoothed
    assert abs(int(np.argmin(smoothed)) - int(np.argmin(losses))) <= 1
