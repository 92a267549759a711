"""The twin of `CyclicPolicy` inside a compiled training step, with `keras.ops`.

JAX computes in 32 bits, and so does this file on every backend: integers below 2**31 for the position in
the cycle, float32 for the rest. `policies.py` chose period and ticks so that nothing here overflows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_clr._keras.api import ops
from keras_clr.cyclic.policies import CyclicPolicy

_DIGITS = 11  # Three tables of 2**11 entries cover every step below 2**31 (and 2**33).


def learning_rate(policy: CyclicPolicy, step: Any) -> Any:
    """The learning rate at `step` as a float32 tensor.

    Args:
        policy: What to compute.
        step: Scalar integer tensor >= 0 (Keras passes `optimizer.iterations`), or a whole float.

    Returns:
        A scalar float32 tensor, within 1e-6 (relative) of `policy(step)` for step < 2**31.
    """
    step = ops.cast(step, "int32")
    # step = laps * period_ticks + rest, so that rest * ticks_per_step stays below 2**31.
    laps = ops.floor_divide(step, policy.period_ticks)
    rest_ticks = (step - laps * policy.period_ticks) * policy.ticks_per_step
    cycles_in_rest = ops.floor_divide(rest_ticks, policy.period_ticks)
    position = rest_ticks - cycles_in_rest * policy.period_ticks
    cycle = laps * policy.ticks_per_step + cycles_in_rest + 1

    scale = _scale(policy, step, cycle)
    amplitude = policy.max_lr - policy.base_lr
    return policy.base_lr + amplitude * (_wave(policy, position) * scale)


def _wave(policy: CyclicPolicy, position: Any) -> Any:
    down_ticks = policy.period_ticks - policy.up_ticks
    # Whole numbers to the end: either leg starts from its own zero and loses no digits there.
    rising = ops.cast(position, "float32") / policy.up_ticks
    falling = ops.cast(policy.period_ticks - position, "float32") / down_ticks
    height = ops.where(position <= policy.up_ticks, rising, falling)
    if policy.wave == "cosine":
        height = ops.square(ops.sin(0.5 * np.pi * height))
    return height


def _scale(policy: CyclicPolicy, step: Any, cycle: Any) -> Any:
    if policy.scale_fn is not None:
        argument = cycle if policy.scale_mode == "cycle" else step
        return ops.cast(policy.scale_fn(ops.cast(argument, "float32")), "float32")
    if policy.mode == "triangular2":
        return _power(0.5, cycle - 1)
    if policy.mode == "exp_range":
        return _power(policy.gamma, step)
    return 1.0


def _power(base: float, exponent: Any) -> Any:
    """base**exponent for a whole exponent >= 0, exact to a few roundings.

    exp(t log gamma) in float32 loses |t log gamma| * 6e-8: 5e-6 before the result underflows. Here the
    exponent is split into three digits, whose powers were computed in float64 on the host.
    """
    digits = np.arange(2**_DIGITS, dtype="float64")
    power = 1.0
    for place in range(3):
        table = np.exp(digits * 2.0 ** (place * _DIGITS) * np.log(base)).astype("float32")
        digit = ops.bitwise_and(ops.right_shift(exponent, place * _DIGITS), 2**_DIGITS - 1)
        power = power * ops.take(ops.convert_to_tensor(table), digit)
    return power
