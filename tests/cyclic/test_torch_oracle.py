"""PyTorch's own CyclicLR as a live oracle. It needs torch installed, not Keras running on it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_clr.cyclic.arguments import cyclic_policy

torch = pytest.importorskip("torch", reason="torch is not installed: its CyclicLR is the oracle")

NUM_STEPS = 10_000
LAST_CYCLE_OF_TORCH = 1024  # Then its 2.0 ** (cycle - 1) overflows.

lengths = st.integers(1, 4000) | st.decimals(1, 4000, places=2).map(float)
long_lengths = st.integers(6, 4000) | st.decimals(6, 4000, places=2).map(float)
bounds = st.tuples(st.floats(1e-7, 1), st.floats(1, 1000)).map(lambda pair: (pair[0], pair[0] * pair[1]))
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
