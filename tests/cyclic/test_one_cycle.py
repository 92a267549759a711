"""One cycle as a pure function of the step, and its twin in the graph."""

import math

import numpy as np
import pytest
from any_keras import dtype_of, to_tensor
from cyclic.shapes import one_cycle_policy
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_clr.cyclic.one_cycle_in_graph import learning_rate
from keras_clr.cyclic.policies import LAST_STEP

BAND = (0.85, 0.95)
few = settings(max_examples=30)
waves = st.sampled_from(["linear", "cosine"])
shapes = st.fixed_dictionaries(
    {
        "pct_start": st.floats(0.01, 0.49),
        "div_factor": st.floats(1, 100),
        "final_div_factor": st.floats(1, 1e6),
        "wave": waves,
        "three_phase": st.booleans(),
    }
)


def rates(policy, num_steps=None):
    return [policy(step) for step in range(num_steps or policy.total_steps)]


class TestShape:
    """What the cycle looks like."""

    def test_the_eye_test(self):
        """Two phases, linear: up to the peak at a whole step, down to the smallest rate at the last, which stays."""
        policy = one_cycle_policy(
            9.0, 10, pct_start=0.5, div_factor=9, final_div_factor=1, wave="linear", momentum_bounds=(1.0, 5.0)
        )
        assert rates(policy, 12) == pytest.approx([1, 3, 5, 7, 9, 7.4, 5.8, 4.2, 2.6, 1, 1, 1])
        momenta = [policy.momentum(step) for step in range(12)]
        assert momenta == pytest.approx([5, 4, 3, 2, 1, 1.8, 2.6, 3.4, 4.2, 5, 5, 5])

    def test_three_phases(self):
        """Up, down as long, then a last fall, in which momentum rests at its upper bound."""
        policy = one_cycle_policy(
            9.0, 10, pct_start=0.3, div_factor=9, final_div_factor=10, wave="linear", three_phase=True,
            momentum_bounds=(1.0, 5.0),
        )  # fmt: skip
        assert rates(policy, 11) == pytest.approx([1, 5, 9, 5, 1, 0.82, 0.64, 0.46, 0.28, 0.1, 0.1])
        assert [policy.momentum(step) for step in range(11)] == pytest.approx([5, 3, 1, 3, 5, 5, 5, 5, 5, 5, 5])

    def test_cosine(self):
        """Half way through a phase both waves are at the mean; a quarter in, the cosine is behind."""
        policy = one_cycle_policy(9.0, 17, pct_start=9 / 17, div_factor=9)
        quarter = 1 + 8 * (1 - math.cos(math.pi / 4)) / 2
        assert policy.ends == (8.0, 16.0)
        assert rates(policy, 9)[::2] == pytest.approx([1, quarter, 5, 10 - quarter, 9])

    @pytest.mark.parametrize(("num_steps", "three_phase"), [(3, False), (4, True)])
    def test_shortest(self, num_steps, three_phase):
        """The fewest steps are the ends of the phases, whatever the share of the rise."""
        for pct_start in (0.01, 0.2, 0.49):
            policy = one_cycle_policy(8.0, num_steps, pct_start=pct_start, div_factor=2, three_phase=three_phase)
            assert rates(policy) == [4, 8, *[4] * three_phase, 4e-4]

    @given(st.integers(4, 2**31 - 1), shapes)
    def test_peak_and_end_are_sampled(self, total_steps, shape):
        """One step has exactly max_lr and the lowest momentum, the last exactly the smallest rate."""
        policy = one_cycle_policy(0.7, total_steps, momentum_bounds=BAND, **shape)
        peak, last = policy.ends[0], policy.ends[-1]
        assert all(end == int(end) for end in policy.ends)
        assert 1 <= peak < last == total_steps - 1
        # As asked for to the nearest step, but where a phase would be left without one.
        assert peak == 1 or abs(peak + 1 - shape["pct_start"] * total_steps) <= (1.5 if shape["three_phase"] else 0.5)
        assert (policy(0), policy(int(peak)), policy(int(last))) == (policy.initial_lr, 0.7, policy.min_lr)
        momenta = [policy.momentum(int(step)) for step in (0, peak, last)]
        assert momenta == [0.95, 0.85, 0.95]

    @given(st.integers(4, 300), shapes)
    def test_monotone_within_its_bounds(self, total_steps, shape):
        """Up to the peak the rate never falls, after it never rises; momentum does the opposite."""
        policy = one_cycle_policy(0.7, total_steps, momentum_bounds=BAND, **shape)
        peak = int(policy.ends[0])
        differences = np.diff(rates(policy, total_steps + 5))
        assert (differences[:peak] >= -1e-15).all()
        assert (differences[peak:] <= 1e-15).all()
        assert max(rates(policy)) == pytest.approx(0.7, rel=1e-15)
        momenta = [policy.momentum(step) for step in range(total_steps + 5)]
        assert all(0.85 - 1e-12 <= momentum <= 0.95 + 1e-12 for momentum in momenta)
        assert (np.diff(momenta)[:peak] <= 1e-15).all()

    @pytest.mark.parametrize("preset", [None, "pytorch", "fastai"])
    def test_stays_at_the_end(self, preset):
        """Past the end nothing changes any more, however far."""
        policy = one_cycle_policy(0.7, 100, preset=preset, momentum_bounds=BAND)
        for step in (100, 101, 10**6, LAST_STEP):
            assert policy(step) == policy.min_lr
            assert policy.momentum(step) == 0.95

    def test_no_momentum(self):
        """Without bounds there is none."""
        assert one_cycle_policy(0.7, 100).momentum(3) is None


class TestFastai:
    """`fit_one_cycle`, by its published formula, written anew here: fastai is not installed."""

    @staticmethod
    def by_formula(step, total_steps, start, middle, end, pct_start):
        """The combined cosine annealing of fastai: the position is step / total_steps."""
        position = step / total_steps
        if position < pct_start:
            before, after, part = start, middle, position / pct_start
        else:
            before, after, part = middle, end, (position - pct_start) / (1 - pct_start)
        return before + (1 + math.cos(math.pi * (1 - part))) * (after - before) / 2

    @few
    @given(st.integers(3, 3000), st.floats(1e-4, 10))
    def test_defaults(self, total_steps, max_lr):
        """pct_start 0.25, div 25, div_final 1e5, moms (0.95, 0.85, 0.95)."""
        policy = one_cycle_policy(max_lr, total_steps, preset="fastai", momentum_bounds=BAND)
        expected = [
            self.by_formula(step, total_steps, max_lr / 25, max_lr, max_lr / 1e5, 0.25) for step in range(total_steps)
        ]
        np.testing.assert_allclose(rates(policy), expected, rtol=1e-9, atol=1e-15 * max_lr)
        momenta = [self.by_formula(step, total_steps, 0.95, 0.85, 0.95, 0.25) for step in range(total_steps)]
        np.testing.assert_allclose([policy.momentum(step) for step in range(total_steps)], momenta, rtol=1e-12)

    @pytest.mark.parametrize(("div", "pct_start"), [(10.0, 0.25), (5.0, 0.4)])
    def test_other_numbers(self, div, pct_start):
        """With another `div`, the smallest rate is still max_lr / 1e5, as in fastai."""
        policy = one_cycle_policy(2.0, 50, pct_start=pct_start, div_factor=div, preset="fastai")
        expected = [self.by_formula(step, 50, 2.0 / div, 2.0, 2e-5, pct_start) for step in range(50)]
        assert rates(policy) == pytest.approx(expected, rel=1e-9)


class TestInGraph:
    """The twin with `keras.ops`."""

    @few
    @given(st.integers(4, 2**31 - 1), shapes, st.lists(st.floats(0, 1.2), min_size=4, max_size=8))
    def test_same_rates(self, total_steps, shape, positions):
        """Within 1e-6 of the policy at any step of a cycle of any length, its corners included."""
        rates, expected = self.both(one_cycle_policy(0.7, total_steps, **shape), positions)
        assert rates == pytest.approx(expected, rel=1e-6)

    @few
    @given(
        st.integers(50, 2**31 - 1), st.sampled_from(["pytorch", "fastai"]), waves, st.floats(0.1, 0.9),
        st.lists(st.floats(0, 1.2), min_size=4, max_size=8),
    )  # fmt: skip
    def test_presets(self, total_steps, preset, wave, pct_start, positions):
        """The same where phases end between two steps."""
        policy = one_cycle_policy(0.7, total_steps, pct_start=pct_start, wave=wave, preset=preset)
        rates, expected = self.both(policy, positions)
        assert rates == pytest.approx(expected, rel=1e-6)

    def both(self, policy, positions):
        """The rates at these positions and around the corners: in the graph, and the policy's."""
        corners = [int(end) + shift for end in policy.ends for shift in (-1, 0, 1)]
        steps = [0, 1, *corners, *(int(position * policy.total_steps) for position in positions)]
        steps = [min(max(step, 0), LAST_STEP) for step in steps]
        rates = [learning_rate(policy, to_tensor(step, dtype="int32")) for step in steps]
        assert {dtype_of(rate) for rate in rates} == {"float32"}
        return [float(rate) for rate in rates], [policy(step) for step in steps]


class TestRefused:
    """Arguments out of range: the message has the argument, its value, and what to do."""

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"max_lr": 0.0}, r"`max_lr` must be > 0\. Received: max_lr=0\.0"),
            ({"max_lr": float("inf")}, "`max_lr` must be finite"),
            ({"total_steps": 2}, r"`total_steps` must be an integer >= 3: .*Received: total_steps=2"),
            ({"total_steps": 3, "three_phase": True}, "must be an integer >= 4"),
            ({"total_steps": 10.5}, r"Received: total_steps=10\.5"),
            ({"total_steps": True}, "Received: total_steps=True"),
            ({"pct_start": 0.0}, r"must be in \(0, 1\)\. Received: pct_start=0\.0"),
            ({"pct_start": 1.0}, r"must be in \(0, 1\)"),
            ({"pct_start": 0.5, "three_phase": True}, r"in \(0, 0\.5\), since with three_phase=True"),
            ({"div_factor": 0.5}, r"`div_factor` must be >= 1.*div_factor=0\.5"),
            ({"final_div_factor": 0.0}, r"`final_div_factor` must be > 0.*final_div_factor=0\.0"),
            ({"wave": "cos"}, "`wave` must be one of 'linear', 'cosine'"),
            ({"preset": "keras"}, "`preset` must be one of None, 'pytorch', 'fastai'"),
            ({"preset": "fastai", "three_phase": True}, "fastai has no cycle of three phases"),
            ({"preset": "pytorch", "pct_start": 0.1, "total_steps": 10}, "Take a larger pct_start, or no preset"),
            ({"three_phase": "yes"}, "`three_phase` must be one of True, False"),
        ],
    )
    def test_values(self, arguments, message):
        """Each is a ValueError."""
        with pytest.raises(ValueError, match=message):
            one_cycle_policy(**{"max_lr": 0.1, "total_steps": 100, "pct_start": 0.3, **arguments})

    @pytest.mark.parametrize("name", ["max_lr", "pct_start", "div_factor", "final_div_factor"])
    def test_types(self, name):
        """Text is no number."""
        with pytest.raises(TypeError, match=f"`{name}` must be a number. Received: {name}='1'"):
            one_cycle_policy(**{"max_lr": 0.1, "total_steps": 100, name: "1"})
