"""The twin of `OneCyclePolicy` inside a compiled training step: 32-bit integers, and float32 for the rest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from keras_clr._keras.api import ops
from keras_clr.cyclic.one_cycle import OneCyclePolicy, Phase


def learning_rate(policy: OneCyclePolicy, step: Any) -> Any:
    """The learning rate at `step` as a float32 tensor.

    Args:
        policy: What to compute.
        step: Scalar integer tensor >= 0 (Keras passes `optimizer.iterations`), or a whole float.

    Returns:
        A scalar float32 tensor, within 1e-6 (relative) of `policy(step)` for step < 2**31.
    """
    step = ops.minimum(ops.cast(step, "int32"), policy.total_steps)
    *earlier, last = policy.phases
    rate = _in_phase(policy, last, step)
    for phase in reversed(earlier):
        rate = ops.where(step <= math.floor(phase.end), _in_phase(policy, phase, step), rate)
    return rate


def _in_phase(policy: OneCyclePolicy, phase: Phase, step: Any) -> Any:
    before, after = phase.rates
    behind = -_steps_until(phase.start, step) / phase.length
    ahead = _steps_until(phase.end, step) / phase.length
    return before * _share(policy, ahead) + after * _share(policy, behind)


def _steps_until(end: float, step: Any) -> Any:
    # Whole numbers first: next to either end, no digit is lost.
    whole = math.floor(end)
    return ops.cast(whole - step, "float32") + (end - whole)


def _share(policy: OneCyclePolicy, linear: Any) -> Any:
    linear = ops.clip(linear, 0.0, 1.0)
    return linear if policy.wave == "linear" else ops.square(ops.sin(0.5 * np.pi * linear))
