"""The sweep's plan: which rates, and when it ends. Pure."""

import math

import numpy as np
import pytest

from keras_clr.finder.plan import SweepEnd, SweepPlan


def run(loss_of_rate, noise=0.01, seed=0, low=1e-7, high=10.0, num_steps=100, extend_to=1e4):
    """Plays a loss as a function of the rate, with noise, until the plan has ended."""
    plan, rng = SweepPlan(low, high, num_steps, extend_to), np.random.default_rng(seed)
    while plan.end is None:
        plan.record(loss_of_rate(plan.rate(len(plan.rates))) + noise * rng.normal())
    return plan


def valley(rate, scale=1.0, offset=0.0):
    """1 at tiny rates, 0.2 around 0.03, far up beyond 1."""
    return offset + scale * (1 - 0.8 / (1 + (0.01 / rate) ** 2) + (rate / 1.0) ** 3)


def test_the_rates_rise_geometrically_from_first_to_last():
    """`num_steps` updates lead from min_lr to max_lr in equal steps of the logarithm."""
    plan = run(lambda rate: 1.0, extend_to=10.0)
    assert len(plan.rates) == 100
    assert plan.rates[0] == pytest.approx(1e-7)
    assert plan.rates[-1] == pytest.approx(10.0)
    assert np.ptp(np.diff(np.log(plan.rates))) < 1e-9


def test_it_goes_on_beyond_max_lr_until_the_loss_diverges():
    """No divergence by max_lr: the same pace goes on, and ends where the loss blows up."""
    plan = run(lambda rate: valley(rate / 100))
    assert plan.end is SweepEnd.DIVERGED
    assert 10 < plan.rates[-1] < 1e4


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_a_loss_on_its_way_up_is_not_followed_beyond_max_lr(noise):
    """It fell and rises again, though not yet above its first level: the range has been seen."""
    plan = run(lambda rate: valley(rate / 12), noise=noise)
    assert plan.end is SweepEnd.TURNED
    assert plan.rates[-1] == pytest.approx(10.0)
    assert max(plan.losses[-5:]) < plan.losses[0]


def test_a_rise_without_a_fall_is_followed():
    """A loss that only ever rose has not shown where it falls."""
    plan = run(lambda rate: 1 + 0.01 * max(0.0, math.log10(rate / 1e-2)), noise=0.01)
    assert plan.end is not SweepEnd.TURNED
    assert plan.rates[-1] > 10


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_no_turn(seed):
    """A loss that is still falling at max_lr, or does nothing, is followed, however the batches fall out."""
    falling = run(lambda rate: 1 / (1 + rate / 10), noise=0.1, seed=seed, extend_to=100.0)
    still = run(lambda rate: 1.0, noise=0.1, seed=seed, extend_to=100.0)
    assert falling.end is still.end is SweepEnd.NO_DIVERGENCE


def test_a_loss_that_never_diverges_ends_at_the_last_rate():
    """The extension has an end, and says so."""
    plan = run(lambda rate: 1.0)
    assert plan.end is SweepEnd.NO_DIVERGENCE
    assert plan.rates[-1] == pytest.approx(1e4, rel=0.2)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("offset", [-5.0, -1.0, 0.0])
def test_divergence_is_judged_by_the_drop_not_by_a_ratio(scale, offset):
    """Negative, near-zero and unscaled losses end at the very same rate as their plain twin."""
    plain = run(valley, noise=0.01)
    twin = run(lambda rate: valley(rate, scale, offset * scale), noise=0.01 * scale)
    assert plain.end is twin.end is SweepEnd.DIVERGED
    assert len(twin.rates) == len(plain.rates)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_end_it_at_once_and_are_not_recorded(bad):
    """The loss that is no number ends the sweep and stays out of the curve."""
    plan = SweepPlan(1e-3, 1.0, 30, 1.0)
    plan.record(1.0)
    plan.record(bad)
    assert plan.end is SweepEnd.NOT_FINITE
    assert plan.losses == [1.0]


def test_one_hard_batch_does_not_end_it():
    """A single loss far above the limit is noise; three in a row are not."""
    plan = SweepPlan(1e-3, 1.0, 60, 1.0)
    for loss in [1.0] * 10 + [50.0] + [0.9] * 10:
        plan.record(loss)
    assert plan.end is None
    for _ in range(3):
        plan.record(50.0)
    assert plan.end is SweepEnd.DIVERGED


def test_diverged_at_once_is_told_from_diverged_in_the_end():
    """Only a sweep that blew up in its first fifth has to start lower."""
    assert run(lambda rate: valley(1e6 * rate)).diverged_at_once
    assert not run(valley).diverged_at_once
