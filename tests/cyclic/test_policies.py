"""The pure policy: every formula by eye, in closed form, and under Hypothesis."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_clr import CyclicLR
from keras_clr.cyclic.arguments import cyclic_policy, half_cycles
from keras_clr.cyclic.policies import LAST_STEP

step_sizes = st.integers(1, 5000) | st.decimals(1, 5000, places=2).map(float)
steps = st.integers(0, LAST_STEP)
modes = st.sampled_from([{"mode": "triangular"}, {"mode": "triangular2"}, {"mode": "exp_range", "gamma": 0.9999}])


def rates(num_steps, **arguments):
    """The first rates of a policy as a list."""
    policy = cyclic_policy(**arguments)
    return [policy(step) for step in range(num_steps)]


def inverse(x):
    """A scale function: the cycle's amplitude is divided by its number."""
    return 1 / x


class TestByEye:
    """Cycles that can be checked by looking at them."""

    def test_triangle(self):
        """A cycle with whole-number rates is exactly these whole numbers."""
        assert rates(11, base_lr=1, max_lr=5, step_size=4) == [1, 2, 3, 4, 5, 4, 3, 2, 1, 2, 3]

    def test_triangular2(self):
        """triangular2 halves the height above base_lr at the start of every cycle."""
        expected = [1, 2, 3, 4, 5, 4, 3, 2, 1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5, 1, 1.25, 1.5, 1.75, 2, 1.75]
        assert rates(22, base_lr=1, max_lr=5, step_size=4, mode="triangular2") == expected

    def test_exp_range(self):
        """exp_range shrinks the height by gamma at every step and leaves base_lr where it is."""
        height = [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0, 0.25, 0.5]
        expected = [1 + 4 * x * 0.9**i for i, x in enumerate(height)]
        assert rates(11, base_lr=1, max_lr=5, step_size=4, mode="exp_range", gamma=0.9) == pytest.approx(
            expected, rel=1e-14
        )

    def test_asymmetric(self):
        """A fall that is longer than the rise takes its own number of steps."""
        expected = [1, 2, 3, 4, 5, 13 / 3, 11 / 3, 3, 7 / 3, 5 / 3, 1]
        assert rates(11, base_lr=1, max_lr=5, step_size=4, step_size_down=6) == pytest.approx(expected, rel=1e-14)

    def test_shortest_cycle(self):
        """A step_size of one batch alternates between the bounds."""
        assert rates(5, base_lr=1, max_lr=5, step_size=1) == [1, 5, 1, 5, 1]

    def test_scale_fn_of_the_cycle(self):
        """scale_fn gets the 1-based cycle: with 1/x the second peak is half as high, the third a third."""
        peaks = rates(25, base_lr=0, max_lr=6, step_size=4, scale_fn=inverse)[4::8]
        assert peaks == [6, 3, 2]

    def test_scale_fn_of_the_step(self):
        """With scale_mode="iterations", scale_fn gets the 0-based step itself."""
        seen = []

        def record(step):
            seen.append(step)
            return 1.0

        rates(3, base_lr=0, max_lr=1, step_size=2, scale_fn=record, scale_mode="iterations")
        assert seen == [0, 0, 1, 2]  # The first call is the check of the constructor.

    def test_cosine(self):
        """The cosine wave passes its bounds and its middle where the triangle does, and is flat at both bounds."""
        values = rates(9, base_lr=1, max_lr=5, step_size=4, wave="cosine")
        expected = [3 - 2 * math.cos(math.pi * k / 4) for k in range(9)]
        assert values == pytest.approx(expected, rel=1e-14)
        assert [values[k] for k in (0, 2, 4, 6, 8)] == pytest.approx([1, 3, 5, 3, 1], rel=1e-14)

    def test_fractional_step_size(self):
        """A step_size of 2.5 batches makes a cycle of exactly 5, whose peak falls between two batches."""
        assert rates(6, base_lr=0, max_lr=5, step_size=2.5) == pytest.approx([0, 2, 4, 4, 2, 0], abs=1e-14)

    def test_decimals_are_taken_at_their_word(self):
        """33.3 means 333/10, not the nearest binary fraction: step 666 is a whole number of cycles."""
        policy = cyclic_policy(0, 1, 33.3)
        assert (policy.step_size_up, policy.period) == (Fraction(333, 10), 66.6)
        assert policy(666 * 1000) == 0

    def test_asymmetric_decimals_are_taken_at_their_word(self):
        """Decimals are exact with two different lengths as well."""
        policy = cyclic_policy(0, 1, 2000.37, step_size_down=999.6)
        assert (policy.step_size_up, policy.step_size_down) == (Fraction("2000.37"), Fraction("999.6"))

    def test_a_float_that_is_whole(self):
        """200. is 200."""
        assert cyclic_policy(5e-6, 3e-4, 200.0) == cyclic_policy(5e-6, 3e-4, 200)

    def test_cycle_numbers(self):
        """`cycle` is 1-based and turns over with the period."""
        policy = cyclic_policy(0, 1, 4)
        assert [policy.cycle(step) for step in (0, 7, 8, 15, 16)] == [1, 1, 2, 2, 3]


class TestFarOut:
    """Very late steps: where float32 formulas and powers of integers break."""

    @pytest.mark.parametrize("step_size", [1, 100, 2000, 39063, 33.3, 0.5 + 1e6])
    def test_last_step(self, step_size):
        """At step 2**31 - 1 the rate is the one that exact rational arithmetic gives."""
        policy = cyclic_policy(1, 5, step_size)
        phase = Fraction(LAST_STEP) % (2 * Fraction(str(step_size))) / Fraction(str(step_size))
        exact = 1 + 4 * (1 - abs(1 - phase))
        assert policy(LAST_STEP) == pytest.approx(float(exact), rel=1e-12)

    def test_triangular2_beyond_the_range_of_floats(self):
        """Cycle 1025 and far later ones, where 2**(cycle - 1) overflows, are at base_lr."""
        policy = cyclic_policy(1e-3, 1, 2, mode="triangular2")
        assert policy(4 * 1000 + 2) == pytest.approx(1e-3)
        assert policy.scale(4 * 1000 + 2) == 0.5**1000
        assert [policy(step) for step in (4 * 1024 + 2, 4 * 5000 + 2, LAST_STEP)] == [1e-3] * 3

    def test_exp_range_deep_underflow(self):
        """A gamma whose power underflows leaves base_lr, without a warning or an error."""
        policy = cyclic_policy(1e-3, 1, 3, mode="exp_range", gamma=0.5)
        assert policy(3 * 1001) == pytest.approx(1e-3, rel=1e-12)
        assert policy(LAST_STEP) == 1e-3

    def test_exp_range_close_to_one(self):
        """gamma**t keeps its digits where gamma is a hair below 1 and t is large."""
        policy = cyclic_policy(0, 1, 10**6, mode="exp_range", gamma=0.9999998)
        step = 10**7 - 10**6  # A peak.
        # (1 - 2e-7)**t = exp(t * log1p(-2e-7)), whose logarithm does not cancel.
        assert policy(step) == pytest.approx(math.exp(step * math.log1p(-2e-7)), rel=1e-8)


class TestForAllArguments:
    """What holds whatever the arguments are."""

    @given(steps, step_sizes, step_sizes, modes, st.sampled_from(["linear", "cosine"]))
    def test_bounds(self, step, up, down, mode, wave):
        """No rate is outside [base_lr, max_lr]."""
        policy = cyclic_policy(1e-4, 1e-2, up, step_size_down=down, wave=wave, **mode)
        assert 1e-4 <= policy(step) <= 1e-2 * (1 + 1e-15)

    @given(st.integers(0, 10**6), st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 1000))
    def test_period(self, step, up, down, laps):
        """A triangular cycle repeats bit for bit after step_size + step_size_down steps."""
        policy = cyclic_policy(1e-4, 1e-2, up, step_size_down=down)
        assert policy(step) == policy(step + laps * (up + down))

    @given(st.integers(0, 10**6), st.decimals(1, 500, places=1).map(float))
    def test_period_of_fractions(self, step, step_size):
        """A cycle of a fraction of a batch repeats bit for bit after ten whole cycles in tenths."""
        policy = cyclic_policy(1e-4, 1e-2, step_size)
        assert policy(step) == policy(step + round(20 * step_size))

    @given(steps, st.integers(0, 10**6), step_sizes, modes)
    def test_amplitude_never_grows(self, step, later, step_size, mode):
        """The amplitude of a later step is never above an earlier one's."""
        policy = cyclic_policy(1e-4, 1e-2, step_size, **mode)
        assert policy.scale(step + later) <= policy.scale(step) <= 1

    @given(st.integers(0, 10**5), st.integers(1, 2000), modes)
    def test_closed_form(self, step, step_size, mode):
        """Smith's formula, computed with exact fractions, gives the same rate."""
        cycle = 1 + step // (2 * step_size)
        x = abs(Fraction(step, step_size) - 2 * cycle + 1)
        scale = {
            "triangular": 1.0,
            "triangular2": 0.5 ** min(cycle - 1, 1000),
            "exp_range": mode.get("gamma", 1.0) ** step,
        }[mode["mode"]]
        expected = 1e-4 + (1e-2 - 1e-4) * float(max(0, 1 - x)) * scale
        assert cyclic_policy(1e-4, 1e-2, step_size, **mode)(step) == pytest.approx(expected, rel=1e-11)

    @given(st.integers(1, 5000), step_sizes, step_sizes)
    def test_the_wave_rises_then_falls(self, cycle, up, down):
        """Within a cycle, rates rise up to the peak and fall after it."""
        policy = cyclic_policy(0, 1, up, step_size_down=down)
        start = math.ceil(cycle * policy.period)
        within = [policy(step) for step in range(start, min(start + 300, int((cycle + 1) * policy.period)))]
        num_rising = sum(1 for k in range(len(within)) if start + k <= cycle * policy.period + up)
        rising = np.diff(within[:num_rising])
        falling = np.diff(within[num_rising:])
        assert (rising > 0).all()
        assert (falling < 0).all()

    @given(step_sizes, step_sizes, st.booleans())
    def test_integers_of_the_graph_cannot_overflow(self, up, down, symmetric):
        """Every intermediate integer of the in-graph twin fits into 32 bits."""
        policy = cyclic_policy(0, 1, up, step_size_down=None if symmetric else down)
        assert policy.period_ticks * policy.ticks_per_step <= LAST_STEP

    @given(st.floats(1, 2**29 - 1), st.floats(1, 2**29 - 1), st.booleans())
    def test_any_float_is_close_to_its_word(self, up, down, symmetric):
        """Whatever float is asked for, the graph can count it and the length is right to a batch."""
        policy = cyclic_policy(0, 1, up, step_size_down=None if symmetric else down)
        assert policy.period_ticks * policy.ticks_per_step <= LAST_STEP
        assert abs(policy.step_size_up - Fraction(up)) <= 0.5


class TestUnits:
    """Lengths in epochs are lengths in batches times an epoch's batches."""

    def test_epochs(self):
        """Two epochs of 375 batches are 750 batches."""
        assert half_cycles(2, 0.5, Fraction(375)) == (750, 187.5)

    def test_thirds(self):
        """A third of an epoch, as a float, is a third."""
        assert half_cycles(1 / 3, None, Fraction(300)) == (100, 100)

    def test_less_than_a_batch(self):
        """A leg shorter than one batch is refused, and the message says how long an epoch is, also if it is 1."""
        with pytest.raises(ValueError, match=r"`step_size` must be between 1 .*step_size=0\.1 epochs; .*epoch: 5$"):
            half_cycles(0.1, None, Fraction(5))
        with pytest.raises(ValueError, match=r"`step_size_down` .*step_size_down=0\.5 epochs; .*in an epoch: 1$"):
            half_cycles(2, 0.5, Fraction(1))

    def test_not_known_yet(self):
        """While an epoch's length is unknown only the sign is judged, and no length is made up in the message."""
        for bad in ({"step_size": 0}, {"step_size": 2, "step_size_down": -0.5}):
            with pytest.raises(ValueError, match=r"must be > 0 epochs\. Received: step_size(=0|_down=-0\.5)$"):
                cyclic_policy(0, 1, **bad, in_epochs=True)

    def test_a_thousand_epochs(self):
        """A length that only an epoch of half a million batches would make too long is not refused."""
        clr = CyclicLR(step_size=1000, step_size_unit="epochs")
        assert repr(clr).endswith("step_size=1000.0, mode='triangular', step_size_unit='epochs')")


class TestScaleFn:
    """What a scale function returns is checked whenever it is asked."""

    @pytest.mark.parametrize(
        ("scale_fn", "received"),
        [
            (lambda cycle: 1 / (3 - cycle), r"scale_fn\(3\) raised ZeroDivisionError"),
            (lambda cycle: [math.nan, 1, 1][cycle % 3], r"scale_fn\(3\) = nan"),
            (lambda cycle: 2.5 - cycle, r"scale_fn\(3\) = -0\.5"),
            (lambda cycle: math.inf if cycle == 3 else 1, r"scale_fn\(3\) = inf"),
            (lambda cycle: "half" if cycle == 3 else 1, r"scale_fn\(3\) = 'half'"),
            ({1: 1.0, 2: 0.5}.__getitem__, r"scale_fn\(3\) raised KeyError"),
        ],
    )
    def test_later(self, scale_fn, received):
        """A value that only a later cycle has wrong is an error that names function, argument and value."""
        policy = cyclic_policy(0.1, 1, 2, scale_fn=scale_fn)
        assert policy(7) > 0
        with pytest.raises(ValueError, match=rf"`scale_fn` must return a finite number >= 0\. Received: {received}"):
            policy(8)
