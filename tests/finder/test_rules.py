"""Suggestion rules: pure functions of a curve."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keras_clr.finder import rules

RATES = np.geomspace(1e-5, 10.0, 100)


def fall(rates=RATES, at=1e-2, breaks=1.0):
    """Half of the fall is reached at the rate `at`; the loss is back at its first level near `breaks`."""
    return 1 / (1 + (rates / at) ** 2) + (rates / breaks) ** 3


def noisy(losses, seed=0, sigma=0.05):
    """The same curve as small batches would show it."""
    return losses + sigma * np.random.default_rng(seed).normal(size=losses.shape)


def test_smoothing_has_no_lag():
    """On a geometric grid a straight line in log-rate stays where it is, away from the ends."""
    line = np.log10(RATES)
    np.testing.assert_allclose(rules.smooth(RATES, line)[20:-20], line[20:-20], atol=1e-5)


def test_an_exponential_moving_average_lags_where_smoothing_does_not():
    """The reason for our smoothing: a step appears more than half a decade late in the average of the past."""
    step = np.where(RATES < 1e-2, 1.0, 0.0)

    def half_way(curve):
        return np.log10(RATES[np.argmax(curve <= 0.5)]) - np.log10(1e-2)

    assert abs(half_way(rules.smooth(RATES, step))) < 0.1
    assert half_way(rules.moving_average(step, 0.98)) > 0.5


def test_the_moving_average_of_a_constant_is_that_constant():
    """The bias of the first steps is corrected: no artificial slope."""
    np.testing.assert_allclose(rules.moving_average(np.full(50, 3.0), 0.98), 3.0)


def test_descent_moves_with_the_curve():
    """A problem whose rates are a thousand times smaller gets a rate a thousand times smaller."""
    shifted = rules.descent(RATES / 1000, fall())
    assert shifted * 1000 == pytest.approx(rules.descent(RATES, fall()), rel=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
@pytest.mark.parametrize("offset", [-1.0, 0.0, 100.0])
def test_descent_does_not_care_for_the_unit_of_the_loss(scale, offset):
    """Negative, near-zero and unscaled losses give the rate of their plain twin."""
    losses = noisy(fall())
    twin = scale * (losses + offset)
    assert rules.descent(RATES, twin) == pytest.approx(rules.descent(RATES, losses), rel=1e-4)


def test_descent_lies_on_the_fall_and_below_the_break():
    """Between where the loss starts to fall and where it is back at its first level."""
    for breaks in (0.3, 1.0, 3.0):
        assert 1e-2 < rules.descent(RATES, fall(breaks=breaks)) < breaks / 2


def test_descent_hardly_depends_on_where_the_sweep_ended():
    """Ten more or fewer points of a diverged loss move it by less than a fifth."""
    losses, end = fall(breaks=0.5), int(np.argmax(RATES > 2.0))
    longer, shorter = rules.descent(RATES, losses), rules.descent(RATES[:end], losses[:end])
    assert shorter == pytest.approx(longer, rel=0.2)


def test_descent_is_steadier_under_noise_than_the_lowest_loss():
    """The reason for the rule: over 200 noisy copies it spreads at most half as much, in decades."""
    copies = [noisy(fall(breaks=3.0), seed) for seed in range(200)]
    spread = {
        rule: np.std([np.log10(rule(RATES, losses)) for losses in copies]) for rule in (rules.descent, rules.lowest)
    }
    assert spread[rules.descent] < 0.5 * spread[rules.lowest]


def test_one_lucky_batch_does_not_move_descent():
    """A level counts as reached where the curve goes below it for the last time."""
    losses = fall()
    lucky = losses.copy()
    lucky[20] = losses.min() - 0.2
    assert rules.descent(RATES, lucky) == pytest.approx(rules.descent(RATES, losses), rel=0.15)


def test_without_a_clear_fall_the_divergence_decides():
    """A loss that is noise until it blows up at 1: a suggestion below that, not where the noise was lowest."""
    found = []
    for seed in range(50):
        losses = noisy(np.where(RATES < 1.0, 1.0, 1.0 + 5 * RATES), seed, sigma=0.3)
        found.append(rules.descent(RATES, losses))
    assert np.quantile(found, 0.1) > 1e-2
    assert max(found) < 1.0


def test_the_clarity_of_a_fall_is_a_number_of_standard_errors():
    """Little for noise alone, much for a fall far above it, 0 for a constant and for a rise."""
    alone = [rules.fall_in_noise(RATES, noisy(np.ones(100), seed, sigma=0.3)) for seed in range(50)]
    assert np.median(alone) < 4
    assert rules.fall_in_noise(RATES, noisy(fall(), sigma=0.02)) > 10
    assert rules.fall_in_noise(RATES, np.full(100, 0.7)) == 0
    assert rules.fall_in_noise(RATES, np.linspace(1, 2, 100)) == 0


def test_more_momentum_means_a_lower_rate():
    """A steady rate lets momentum build up, which a rising one did not."""
    found = [rules.descent(RATES, fall(), momentum) for momentum in (0.0, 0.5, 0.9, 0.99)]
    assert found == sorted(found, reverse=True)
    assert found[0] / found[2] == pytest.approx(0.1**-rules.MOMENTUM_EXPONENT)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=20, max_size=60), st.floats(0.0, 0.99))
def test_descent_always_answers_within_reach_of_the_sweep(losses, momentum):
    """Any finite losses: a positive, finite rate between the corrected ends of the sweep."""
    losses = np.array(losses)
    assume(np.ptp(losses) > 1e-6)
    rates = RATES[: len(losses)]
    slower = (1 - momentum) ** rules.MOMENTUM_EXPONENT
    found = rules.descent(rates, losses, momentum) / slower
    assert rates[0] * rules.FROM_EDGE * 0.999 <= found <= rates[-1] * rules.FROM_FALL * 1.001


def test_candidates_rise_around_the_suggestion():
    """Trials go to both sides of what the curve says."""
    losses = noisy(fall())
    found, middle = rules.candidates(RATES, losses, 0.9), rules.descent(RATES, losses, 0.9)
    assert found == sorted(found)
    assert found[0] < middle < found[-1]
    assert middle in found


def test_bounds_are_a_band_in_rising_order():
    """(base_lr, max_lr), both in proportion to the rate."""
    base, top = rules.bounds(0.1)
    assert 0 < base < top
    assert rules.bounds(0.2) == pytest.approx((2 * base, 2 * top))


def test_the_rules_of_others_do_what_their_name_says():
    """On a small curve whose answers can be read off."""
    rates = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0])
    losses = np.array([1.0, 0.9, 0.5, 0.3, 0.2, 2.0])
    assert rules.minimum(rates, losses) == pytest.approx(0.1)
    assert rules.steepest(rates, losses) == pytest.approx(1e-3)
    assert rules.gradient_by_index(rates, losses) == pytest.approx(1e-2)  # (0.3 - 0.9) / 2 is the smallest.
    assert rules.gradient_by_rate(rates, losses) == pytest.approx(1e-4)  # -0.1 per 0.0009 of the rate.
    assert rules.before_minimum(rates, losses) == pytest.approx(1e-2)
    assert rules.valley(rates, losses) == pytest.approx(
        1e-4
    )  # Half-way in thirds, rounded down, from one before the start.


def test_before_minimum_without_a_fall_gives_the_first_rate():
    """A curve that only rises has nothing before its minimum."""
    assert rules.before_minimum(RATES, np.linspace(1, 2, 100)) == RATES[0]


def test_slide_stops_where_both_slopes_agree():
    """A curve flat at the right end: both slopes agree at once, the interval does not move."""
    losses = np.concatenate([np.linspace(2.0, 1.0, 60), np.full(40, 1.0)])
    assert rules.slide(RATES, losses) == RATES[-16]


@pytest.mark.parametrize("name", rules.RULES)
def test_every_named_rule_answers_within_the_sweep(name):
    """The names that `LRCurve.suggest` takes: a float above zero, on a noisy, ordinary curve."""
    found = rules.RULES[name](RATES, noisy(fall()))
    assert isinstance(found, float)
    assert RATES[0] / 10 <= found <= RATES[-1]
