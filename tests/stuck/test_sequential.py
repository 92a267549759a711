"""Wald's sequential test: what it promises about learners, and how soon it speaks about stuck runs."""

import math

import numpy as np
import pytest

from keras_clr.stuck.sequential import SequentialTest

NUM_STREAMS = 2000
BATCH = 32


def largest_count(num_trials, probability, error=1e-6):
    """The smallest k that Binomial(num_trials, probability) exceeds with a probability below `error`."""
    log_choose = [
        math.lgamma(num_trials + 1) - math.lgamma(k + 1) - math.lgamma(num_trials - k + 1) for k in range(400)
    ]
    log_p, log_q = math.log(probability), math.log1p(-probability)
    tail = 1.0
    for k, term in enumerate(log_choose):
        tail -= math.exp(term + k * log_p + (num_trials - k) * log_q)
        if tail < error:
            return k
    raise AssertionError("400 terms were not enough")


def streams(accuracy, num_looks, seed):
    """Right answers per batch of many runs with a constant accuracy."""
    return np.random.default_rng(seed).binomial(BATCH, accuracy, size=(NUM_STREAMS, num_looks))


def run_all(counts, chance, margin, false_alarm):
    """Look (1, 2, ...) at which each stream raised the alarm, 0 if it never did; and which ones have learned."""
    alarms, learned = np.zeros(len(counts), int), np.zeros(len(counts), bool)
    for i, row in enumerate(counts):
        test = SequentialTest(chance, margin, false_alarm)
        for look, correct in enumerate(row, 1):
            test.update(correct, BATCH)
            if test.alarm and not alarms[i]:
                alarms[i] = look
        learned[i] = test.learned
    return alarms, learned


@pytest.mark.parametrize(("chance", "margin"), [(0.5, 0.05), (0.9, 0.04)])
def test_a_learner_at_the_boundary_is_wronged_no_more_often_than_stated(chance, margin):
    """Runs with exactly chance + margin, looked at after every batch, raise alarms within the stated bound."""
    false_alarm = 0.02
    alarms, _ = run_all(streams(chance + margin, 60, seed=1), chance, margin, false_alarm)
    count = int((alarms > 0).sum())
    assert count <= largest_count(NUM_STREAMS, false_alarm)
    # The bound is not met by silence: at the boundary the test does err now and then.
    assert count > 0.1 * false_alarm * NUM_STREAMS


@pytest.mark.parametrize(("chance", "margin"), [(0.5, 0.1), (0.1, 0.1)])
def test_stuck_runs_raise_the_alarm_about_when_expected(chance, margin):
    """Every run at chance raises the alarm, on average after Wald's expected number of samples."""
    test = SequentialTest(chance, margin, 1e-3)
    looks = math.ceil(6 * test.expected_samples() / BATCH)
    alarms, learned = run_all(streams(chance, looks, seed=2), chance, margin, 1e-3)
    assert (alarms > 0).mean() > 0.998
    # Wald's number leaves out the overshoot of the last batch.
    assert 1.0 <= BATCH * alarms[alarms > 0].mean() / test.expected_samples() <= 1.2
    assert learned.sum() <= largest_count(NUM_STREAMS, 1e-3)


def test_a_late_start_is_believed():
    """A run that sat at chance for long counts as learned a few batches after it starts, alarm or not."""
    test = SequentialTest(0.5, 0.05, 1e-3)
    for _ in range(200):
        test.update(16, BATCH)
    assert test.alarm
    assert not test.learned
    for _ in range(12):
        test.update(30, BATCH)
    assert test.learned


def boundary_learners(kind, num_looks, rng):
    """Right answers per batch of 10,000 runs with an accuracy of 0.55 or, at times, more."""
    shape = 10_000, num_looks
    if kind == "independent":
        return rng.binomial(BATCH, 0.55, size=shape)
    if kind == "wandering":
        # Between 0.55 and 0.65, by what the last batch was like: nothing is independent here.
        counts = np.empty(shape, int)
        accuracy = np.full(shape[0], 0.55)
        for look in range(num_looks):
            counts[:, look] = rng.binomial(BATCH, accuracy)
            accuracy = np.where(counts[:, look] < 0.5 * BATCH, 0.65, 0.55)
        return counts
    # 20 batches an epoch from one set of 640 samples, of which 55 % are answered right, in a new order each time.
    epochs = [
        rng.multivariate_hypergeometric([BATCH] * 20, int(0.55 * 640), size=shape[0]) for _ in range(num_looks // 20)
    ]
    return np.concatenate(epochs, axis=1)


@pytest.mark.parametrize("kind", ["independent", "wandering", "without replacement"])
def test_ten_thousand_learners_at_the_boundary(kind):
    """Looked at after each of 200 batches, no more of them are ever called "at chance" than the bound allows."""
    false_alarm = 0.01
    counts = boundary_learners(kind, 200, np.random.default_rng(5))
    test = SequentialTest(0.5, 0.05, false_alarm)
    statistics = np.cumsum(counts * math.log(0.5 / 0.55) + (BATCH - counts) * math.log(0.5 / 0.45), axis=1)
    alarmed = (statistics >= test.threshold).any(axis=1)
    assert alarmed.sum() <= largest_count(10_000, false_alarm)
    # The sum above is the test's own.
    for row, statistic, alarm in zip(counts[:20], statistics[:20], alarmed[:20], strict=True):
        test = SequentialTest(0.5, 0.05, false_alarm)
        for correct in row:
            test.update(correct, BATCH)
        assert test.statistic == pytest.approx(statistic[-1])
        assert test.alarm == alarm


def test_a_fall_is_seen_and_so_is_the_recovery():
    """A learner that drops to chance has fallen after as many samples as the alarm takes; it may learn again."""
    test = SequentialTest(0.5, 0.05, 1e-3)
    for _ in range(40):
        test.update(28, BATCH)
    assert (test.learned, test.fallen) == (True, False)
    looks = 0
    while not test.fallen:
        test.update(16, BATCH)
        looks += 1
    assert not test.learned
    # Twice the log of the look's weight, at most, on top of what the first alarm takes.
    assert test.expected_samples() / BATCH <= looks <= 2.2 * test.expected_samples() / BATCH
    for _ in range(20):
        test.update(28, BATCH)
    assert (test.learned, test.fallen) == (True, False)


def test_a_learner_at_the_boundary_hardly_ever_falls():
    """Runs that have learned and go on at exactly chance + margin are called fallen within the stated bound."""
    false_alarm = 0.02
    fallen = 0
    for row in streams(0.55, 100, seed=4):
        test = SequentialTest(0.5, 0.05, false_alarm)
        test.update(60, 60)
        assert test.learned
        for correct in row:
            test.update(correct, BATCH)
            fallen += test.fallen
            if test.fallen:
                break
    assert 0 < fallen <= largest_count(NUM_STREAMS, false_alarm)


def test_a_scaled_down_count_is_still_valid():
    """Halving right answers and answers alike, as for an unknown epoch length, keeps the error bound (Jensen)."""
    alarms, _ = run_all(streams(0.55, 60, seed=3), 0.5, 0.05, 0.05)
    halved = 0
    for row in streams(0.55, 60, seed=3):
        test = SequentialTest(0.5, 0.05, 0.05)
        for correct in row:
            test.update(correct / 2, BATCH / 2)
        halved += test.alarm
    assert halved <= min((alarms > 0).sum(), largest_count(NUM_STREAMS, 0.05))


def test_known_expectations():
    """Wald's expected samples are those of the published table, and of the closed form."""
    table = {(0.5, 0.02): 8628, (0.5, 0.05): 1375, (0.1, 0.02): 3465, (0.1, 0.05): 634, (0.9, 0.01): 11684}
    for (chance, margin), expected in table.items():
        assert round(SequentialTest(chance, margin, 1e-3).expected_samples()) == expected


@pytest.mark.parametrize("chance", [1e-6, 0.5, 0.999, 1 - 1e-9])
def test_the_default_margin_fits_every_chance_level(chance):
    """A tenth of what there is to gain leaves chance + margin below 1, and finite numbers."""
    test = SequentialTest(chance, None, 1e-3)
    assert chance < chance + test.margin < 1.0
    assert math.isfinite(test.expected_samples())
    test.update(10, 10)
    assert test.statistic < 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.0, None, 1e-3), "`chance` must be in"),
        ((0.0, None, 1e-3), "`chance` must be in"),
        ((math.nan, None, 1e-3), "`chance` must be in"),
        ((0.5, 0.0, 1e-3), "`margin` must be > 0"),
        ((0.5, 0.5, 1e-3), "`margin` must be > 0"),
        ((0.5, math.nan, 1e-3), "`margin` must be > 0"),
        ((0.5, None, 0.0), "`false_alarm` must be in"),
        ((0.5, None, 1.0), "`false_alarm` must be in"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    """Each argument out of range is named, with what was received."""
    with pytest.raises(ValueError, match=f"(?s){message}.*Received"):
        SequentialTest(*arguments)


@pytest.mark.parametrize("counts", [(-1, 10), (11, 10), (math.nan, 10), (1, math.inf)])
def test_impossible_counts_are_refused(counts):
    """Counts that cannot be are refused, and change nothing."""
    test = SequentialTest(0.5, 0.05, 1e-3)
    with pytest.raises(ValueError, match="Received: correct="):
        test.update(*counts)
    assert test.statistic == 0.0
    test.update(0, 0)
    assert test.num_samples == 0.0
