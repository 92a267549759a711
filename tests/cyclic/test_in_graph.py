"""The in-graph twin of the policy: 32-bit arithmetic that agrees with float64 at every step there can be."""

import numpy as np
import pytest
from any_keras import dtype_of, keras, set_floatx, to_numpy, to_tensor
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_clr import CyclicLR, CyclicSchedule
from keras_clr.cyclic.policies import LAST_STEP


@keras.saving.register_keras_serializable(package="keras_clr_tests")
def slow_decay(x):
    """A smooth scale of cycle or step, for numbers and tensors."""
    return 1 / (1 + 1e-4 * x)


# Every mode, wave and kind of length. Long decays keep the amplitude alive where it is looked at.
ARGUMENTS = {
    "triangular": {"step_size": 100},
    "one batch up": {"step_size": 1},
    "asymmetric": {"step_size": 37, "step_size_down": 1001},
    "fraction": {"step_size": 33.3},
    "asymmetric fraction": {"step_size": 2000.37, "step_size_down": 999.6},
    "awkward fraction": {"step_size": 123456.789},
    "longest": {"step_size": LAST_STEP // 4},
    "cosine": {"step_size": 2000, "wave": "cosine"},
    "cosine asymmetric": {"step_size": 7, "step_size_down": 12.5, "wave": "cosine"},
    "triangular2": {"step_size": 100, "mode": "triangular2"},
    "triangular2 slow": {"step_size": LAST_STEP // 64, "mode": "triangular2"},
    "exp_range": {"step_size": 1000, "mode": "exp_range", "gamma": 0.9999},
    "exp_range slow": {"step_size": 39063, "mode": "exp_range", "gamma": 1 - 2e-9},
    "scale_fn by cycle": {"step_size": 2000, "scale_fn": slow_decay},
    "scale_fn by step": {"step_size": 2000, "scale_fn": slow_decay, "scale_mode": "iterations"},
}


def interesting_steps(policy):
    """The first cycles, both sides of turning points up to the last step there is, and random steps."""
    rng = np.random.default_rng(0)
    period = policy.period
    cycles = np.unique(np.geomspace(1, LAST_STEP / period, 100).astype("int64"))
    turns = np.concatenate([cycles * period, cycles * period + float(policy.step_size_up)]).astype("int64")
    near_turns = (turns[:, None] + np.arange(-2, 3)).ravel()
    powers = 2 ** np.arange(1, 32)
    steps = np.concatenate([np.arange(300), near_turns, powers - 1, powers, rng.integers(0, LAST_STEP, 500)])
    steps = np.unique(steps[(steps >= 0) & (steps <= LAST_STEP)])
    return np.resize(steps, 2000)  # One shape for all: JAX compiles every operation once a shape.


def in_graph(schedule, steps):
    """The schedule's rates for an array of steps, as float64."""
    tensor = to_tensor(np.asarray(steps), "int32")
    return to_numpy(schedule(tensor)).astype("float64")


def assert_agrees(policy, rates, steps):
    expected = np.array([policy(int(step)) for step in steps])
    # float32 flushes what is below its smallest normal number.
    np.testing.assert_allclose(rates, expected, rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("base_lr", [1e-5, 0.0])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_callback_schedule_and_policy_agree(name, base_lr):
    """Callback, schedule and policy are one sequence to 1e-6 (relative) at any step below 2**31."""
    arguments = {"base_lr": base_lr, "max_lr": 3e-3, **ARGUMENTS[name]}
    schedule = CyclicSchedule(**arguments)
    callback = CyclicLR(**arguments)
    assert callback.policy == schedule.policy
    steps = interesting_steps(callback.policy)
    assert steps.max() == LAST_STEP
    assert_agrees(callback.policy, in_graph(schedule, steps), steps)


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, LAST_STEP), min_size=20, max_size=20),
    st.floats(1, 10**6),
    st.none() | st.floats(1, 10**6),
    st.sampled_from(["triangular", "triangular2"]),
    st.sampled_from(["linear", "cosine"]),
)
def test_agreement_for_any_lengths(steps, up, down, mode, wave):
    """The agreement holds for any lengths of rise and fall, whole or not."""
    schedule = CyclicSchedule(1e-5, 3e-3, up, mode, step_size_down=down, wave=wave)
    assert_agrees(schedule.policy, in_graph(schedule, steps), steps)


@settings(max_examples=30)
@given(
    st.lists(st.integers(0, LAST_STEP), min_size=20, max_size=20),
    st.integers(1, 10**6),
    st.floats(1e-10, 1e-1),
)
def test_agreement_for_any_gamma(steps, step_size, shrinkage):
    """The agreement holds for any gamma, also one so close to 1 that float32 cannot tell them apart."""
    schedule = CyclicSchedule(1e-5, 3e-3, step_size, "exp_range", 1 - shrinkage)
    assert_agrees(schedule.policy, in_graph(schedule, steps), steps)


def compiled_ways(function):
    """The backend's ways of compiling a function of one tensor."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return {"graph": tf.function(function), "XLA": tf.function(function, jit_compile=True)}
    if keras.backend.backend() == "jax":
        import jax

        return {"XLA": jax.jit(function)}
    return {"eager": function}  # torch.compile takes ten seconds a function; `fit` on torch is eager.


@pytest.mark.parametrize("name", ["asymmetric fraction", "cosine", "triangular2 slow", "exp_range slow"])
def test_agreement_when_compiled(name):
    """A compiler that may reorder arithmetic does not move the rates."""
    schedule = CyclicSchedule(1e-5, 3e-3, **ARGUMENTS[name])
    steps = interesting_steps(schedule.policy)
    for way, function in compiled_ways(schedule).items():
        tensor = to_tensor(steps, "int32")
        rates = to_numpy(function(tensor)).astype("float64")
        assert rates.shape == steps.shape, way
        assert_agrees(schedule.policy, rates, steps)


def test_kinds_of_steps():
    """A Python number, a whole float and a tensor of either integer width are all a step."""
    schedule = CyclicSchedule(1.0, 5.0, 4)
    for step in (3, 3.0, np.int32(3), np.int64(3), np.float32(3), to_tensor(3, "int32")):
        assert float(schedule(step)) == 4.0
    if keras.backend.backend() != "jax":  # There, 64-bit integers do not exist unless asked for.
        assert float(schedule(to_tensor(3, "int64"))) == 4.0


def test_the_rate_is_a_float32_scalar():
    """The optimizer gets a scalar float32 tensor, whatever the global float type is."""
    set_floatx("float16")
    rate = CyclicSchedule(1e-5, 3e-3, 2000, "triangular2")(1)
    assert (dtype_of(rate), tuple(rate.shape)) == ("float32", ())
