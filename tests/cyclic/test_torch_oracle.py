"""PyTorch's own CyclicLR and OneCycleLR as live oracles. It needs torch installed, not Keras running on it."""

import numpy as np
import pytest
from any_keras import keras
from cyclic.momentum import GRADIENTS, train, weights
from cyclic.shapes import one_cycle_policy
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_clr import CyclicLR
from keras_clr.cyclic.arguments import cyclic_policy

torch = pytest.importorskip("torch", reason="torch is not installed: its CyclicLR is the oracle")

NUM_STEPS = 10_000
LAST_CYCLE_OF_TORCH = 1024  # Then its 2.0 ** (cycle - 1) overflows.

lengths = st.integers(1, 4000) | st.decimals(1, 4000, places=2).map(float)
long_lengths = st.integers(6, 4000) | st.decimals(6, 4000, places=2).map(float)
bounds = st.tuples(st.floats(1e-7, 1), st.floats(1, 1000)).map(lambda pair: (pair[0], pair[0] * pair[1]))
RATES = {"base_lr": 0.01, "max_lr": 0.05, "step_size": 4}
BAND = {"base_momentum": 0.5, "max_momentum": 0.9}
few = settings(max_examples=20)


def torch_rates(base_lr, max_lr, up, down, **arguments):
    """The rates that PyTorch sets in the first 10,000 steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=base_lr)
    scheduler = torch.optim.lr_scheduler.CyclicLR(
        optimizer, base_lr, max_lr, step_size_up=up, step_size_down=down, cycle_momentum=False, **arguments
    )
    optimizer.step()  # PyTorch warns if the scheduler goes first.
    rates = []
    for _ in range(NUM_STEPS):
        rates += scheduler.get_last_lr()
        scheduler.step()
    return np.array(rates)


def our_rates(base_lr, max_lr, up, down, **arguments):
    policy = cyclic_policy(base_lr, max_lr, up, step_size_down=down, **arguments)
    return np.array([policy(step) for step in range(NUM_STEPS)])


def assert_same(bounds, up, down, **arguments):
    # PyTorch subtracts numbers near the cycle's to get x: it loses as many digits as the cycle has.
    tolerance = 1e-15 * NUM_STEPS * bounds[1]
    expected = torch_rates(*bounds, up, down, **arguments)
    np.testing.assert_allclose(our_rates(*bounds, up, down, **arguments), expected, rtol=1e-9, atol=tolerance)


@few
@given(bounds, lengths, lengths | st.none())
def test_triangular(bounds, up, down):
    """The first 10,000 rates of "triangular" are PyTorch's, for any lengths of rise and fall."""
    assert_same(bounds, up, down, mode="triangular")


@few
@given(bounds, long_lengths, long_lengths | st.none())
def test_triangular2(bounds, up, down):
    """The first 10,000 rates of "triangular2" are PyTorch's as long as that does not overflow."""
    assert NUM_STEPS / (up + (up if down is None else down)) < LAST_CYCLE_OF_TORCH
    assert_same(bounds, up, down, mode="triangular2")


@few
@given(bounds, lengths, lengths | st.none(), st.floats(0.5, 1, exclude_max=True))
def test_exp_range(bounds, up, down, gamma):
    """The first 10,000 rates of "exp_range" are PyTorch's."""
    assert_same(bounds, up, down, mode="exp_range", gamma=gamma)


@few
@given(bounds, lengths, lengths | st.none(), st.floats(0.1, 2))
def test_scale_fn_by_cycle(bounds, up, down, power):
    """A scale function of the cycle gets the same argument as PyTorch's at every step."""
    assert_same(bounds, up, down, scale_fn=lambda cycle: cycle**-power, scale_mode="cycle")


@few
@given(bounds, lengths, lengths | st.none(), st.floats(1e-5, 1e-2))
def test_scale_fn_by_iteration(bounds, up, down, decay):
    """A scale function of the step gets the same argument as PyTorch's at every step."""
    assert_same(bounds, up, down, scale_fn=lambda step: 1 / (1 + decay * step), scale_mode="iterations")


def test_where_the_oracle_ends():
    """At cycle 1025, PyTorch overflows and we do not: else the limit above could go."""
    with pytest.raises(OverflowError):
        torch_rates(0.1, 1.0, 1, 1, mode="triangular2")
    assert our_rates(0.1, 1.0, 1, 1, mode="triangular2")[2049] == 0.1


class TestMomentum:
    """PyTorch's momentum, which cycles by default."""

    @few
    @given(lengths, lengths | st.none(), st.sampled_from(["triangular", "triangular2", "exp_range"]))
    def test_sequence(self, up, down, mode):
        """The first 2000 momenta are PyTorch's, in every mode."""
        gamma = {"gamma": 0.999} if mode == "exp_range" else {}
        parameter = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.SGD([parameter], lr=0.1, momentum=0.3)
        scheduler = torch.optim.lr_scheduler.CyclicLR(
            optimizer, 0.1, 0.5, step_size_up=up, step_size_down=down, mode=mode, **gamma, **BAND
        )
        policy = cyclic_policy(0.1, 0.5, up, mode, step_size_down=down, **gamma, momentum_bounds=(0.5, 0.9))
        optimizer.step()
        for step in range(2000):
            if (step * policy.ticks_per_step) // policy.period_ticks >= LAST_CYCLE_OF_TORCH:
                break
            assert optimizer.param_groups[0]["momentum"] == pytest.approx(policy.momentum(step), rel=1e-9)
            scheduler.step()

    def torch_weights(self, optimizer_class, rates, gradients=GRADIENTS, factor=None, **arguments):
        """The weights after PyTorch's optimizer under PyTorch's CyclicLR; `factor(t)` is on the momentum alone."""
        weight = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
        optimizer = optimizer_class([weight], lr=rates["base_lr"], **arguments)
        scheduler = torch.optim.lr_scheduler.CyclicLR(
            optimizer, rates["base_lr"], rates["max_lr"], step_size_up=rates["step_size"], **BAND
        )
        for t, gradient in enumerate(gradients):
            if factor is not None:
                optimizer.param_groups[0]["momentum"] *= factor(t)
            weight.grad = torch.tensor(gradient, dtype=torch.float64)
            optimizer.step()
            scheduler.step()
        return weight.detach().numpy()

    def keras_weights(self, optimizer, rates):
        return weights(train(optimizer, [CyclicLR(**rates, cycle_momentum=True, **BAND)]))

    def test_sgd_at_a_constant_rate(self):
        """With momentum cycling alone, the weights under SGD are PyTorch's."""
        rates = {**RATES, "max_lr": RATES["base_lr"]}
        ours = self.keras_weights(keras.optimizers.SGD(0.3, momentum=0.7), rates)
        assert ours == pytest.approx(self.torch_weights(torch.optim.SGD, rates, momentum=0.7), rel=1e-5, abs=1e-7)

    def test_sgd_at_a_cycling_rate(self):
        """Keras' velocity contains the rate, so its momentum m(t) is PyTorch's m(t) lr(t - 1) / lr(t)."""
        policy = cyclic_policy(**RATES)
        ours = self.keras_weights(keras.optimizers.SGD(0.3, momentum=0.7), RATES)
        same = self.torch_weights(
            torch.optim.SGD, RATES, factor=lambda t: policy(max(t - 1, 0)) / policy(t), momentum=0.7
        )
        assert ours == pytest.approx(same, rel=1e-5, abs=1e-7)
        assert ours != pytest.approx(self.torch_weights(torch.optim.SGD, RATES, momentum=0.7), rel=0.05)

    def test_adam(self):
        """With both cycling, the weights under Adam are PyTorch's (its epsilon stands elsewhere: here it is none)."""
        ours = self.keras_weights(keras.optimizers.Adam(0.3, epsilon=1e-12), RATES)
        assert ours == pytest.approx(self.torch_weights(torch.optim.Adam, RATES, eps=1e-12), rel=2e-5, abs=1e-6)


class TestOneCycle:
    """PyTorch's OneCycleLR."""

    def torch_sequence(self, max_lr, total_steps, optimizer_class=torch.optim.SGD, **arguments):
        """Rates and momenta that PyTorch sets in the whole cycle."""
        optimizer = optimizer_class([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr, total_steps, **arguments)
        optimizer.step()
        rates, momenta = [], []
        for step in range(total_steps):
            group = optimizer.param_groups[0]
            rates += scheduler.get_last_lr()
            momenta.append(group["momentum"] if "momentum" in group else group["betas"][0])
            if step < total_steps - 1:
                scheduler.step()
        return rates, momenta

    @few
    @given(
        st.integers(20, 3000),
        st.floats(1e-4, 10),
        st.floats(0.1, 0.49),
        st.sampled_from(["cos", "linear"]),
        st.booleans(),
        st.sampled_from([torch.optim.SGD, torch.optim.Adam]),
    )
    def test_preset(self, total_steps, max_lr, pct_start, strategy, three_phase, optimizer_class):
        """With preset="pytorch" rates and momenta are PyTorch's, for any length and share of the rise."""
        expected_rates, expected_momenta = self.torch_sequence(
            max_lr,
            total_steps,
            optimizer_class,
            pct_start=pct_start,
            anneal_strategy=strategy,
            three_phase=three_phase,
        )
        policy = one_cycle_policy(
            max_lr,
            total_steps,
            pct_start=pct_start,
            wave={"cos": "cosine"}.get(strategy, strategy),
            three_phase=three_phase,
            preset="pytorch",
            momentum_bounds=(0.85, 0.95),
        )
        rates = [policy(step) for step in range(total_steps)]
        np.testing.assert_allclose(rates, expected_rates, rtol=1e-9, atol=1e-15 * max_lr)
        momenta = [policy.momentum(step) for step in range(total_steps)]
        np.testing.assert_allclose(momenta, expected_momenta, rtol=1e-12)

    @pytest.mark.parametrize("total_steps", [10, 100, 1404])
    def test_defaults(self, total_steps):
        """Without another argument, the preset has PyTorch's defaults."""
        policy = one_cycle_policy(0.1, total_steps, preset="pytorch")
        expected, _ = self.torch_sequence(0.1, total_steps)
        assert [policy(step) for step in range(total_steps)] == pytest.approx(expected, rel=1e-9)

    def test_whole_steps_are_the_same(self):
        """Where PyTorch's phases end at whole steps, no preset is needed; where not, only we reach the peak."""
        whole, _ = self.torch_sequence(0.1, 100)
        assert [one_cycle_policy(0.1, 100)(step) for step in range(100)] == pytest.approx(whole, rel=1e-9)
        between, _ = self.torch_sequence(0.1, 1404)  # Its peak would be at step 420.2.
        assert max(between) < 0.1
        assert max(one_cycle_policy(0.1, 1404)(step) for step in range(1404)) == 0.1
