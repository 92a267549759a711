"""Evidence from the gradients of one pass: do they reach the first layer, and are the steps of a fitting length. Pure.

The limits come from the same networks as those in `checks/layers.py`.
"""

from __future__ import annotations

import math
from typing import Any

from keras_clr._keras.layers_reading import LayersReading, VariableReading
from keras_clr.stuck.causes import layers as causes
from keras_clr.stuck.finding import Confidence, Finding

# Relative gradient of the first kernel over that of the last but one. Healthy: at least 0.04.
_FALL = 1e-2
# If the relative gradient of the last kernel is so many times that of the one before, its weights are small (or were 0
# until a moment ago). They grow, and the gradient behind them comes back.
_SMALL_HEAD = 100.0
# SGD: share of its own size by which one step moves the first kernel. Of sigmoid and relu networks at a rate of 0.1,
# 240 steps taught those nothing that had 2e-4 and less, and all those that had 1e-3 and more. With 1e-6, a million
# steps are needed.
_SLOW_PACE = 1e-4
_NO_PACE = 1e-6
# A rate that moves the last kernels by less is too low for any layer, whatever becomes of the gradient on its way.
_LOW_RATE = 1e-5
# Adam and its kin: a gradient of this share of their epsilon makes steps of this share of the rate. Of deep networks
# with entries of 0.3 to 5 epsilon some learned; of those with 0.005 none did.
_FAR_BELOW = 0.01


def kernels_of(reading: LayersReading) -> list[VariableReading]:
    """Kernels that have a gradient, from the first layer to the last; not those of recurrent connections."""
    return [
        v for v in reading.variables if v.name.split("/")[-1] == "kernel" and v.connected and v.position is not None
    ]


def check_vanishing(reading: LayersReading) -> list[Finding]:
    """A gradient that the first layer cannot learn by."""
    layers: dict[int | None, tuple[float, VariableReading]] = {}
    for kernel in kernels_of(reading):
        if kernel.norm:
            ratio = (kernel.gradient_norm or 0.0) / kernel.norm
            # Of a layer with several, that with most: the query of an attention has next to none at first.
            if kernel.position not in layers or ratio > layers[kernel.position][0]:
                layers[kernel.position] = ratio, kernel
    ratios, kernels = [ratio for ratio, _ in layers.values()], [kernel for _, kernel in layers.values()]
    if len(kernels) < 2:
        return []
    first, last, gradient = kernels[0], kernels[-1], kernels[0].gradient_norm
    if not gradient:
        return []
    if not ratios[-2] or ratios[-1] >= _SMALL_HEAD * ratios[-2]:
        return []
    pace = None if reading.sgd_rate is None else reading.sgd_rate * ratios[0]
    entry = gradient / math.sqrt(math.prod(first.shape))
    numbers: dict[str, Any] = {"ratio": ratios[0], "last_ratio": ratios[-1], "gradient_per_weight": entry}
    suits = reading.sgd_rate is not None and reading.sgd_rate * ratios[-2] >= _LOW_RATE
    if pace is not None and 0.0 < pace < _SLOW_PACE and suits:
        confidence = Confidence.FORECAST if pace < _NO_PACE else Confidence.HINT
        numbers["num_steps"] = 1.0 / pace
        consequence = f"SGD at its present rate takes {1.0 / pace:.1e} steps to move it by its own size."
    elif reading.epsilon is not None and entry < reading.epsilon:
        confidence = Confidence.FORECAST if entry < _FAR_BELOW * reading.epsilon else Confidence.HINT
        numbers["epsilon"] = reading.epsilon
        consequence = (
            f"An entry of it is {entry:.1e} on average, less than the {reading.epsilon:g} that the optimizer adds "
            "before it divides by the gradient's size: its steps shrink with the gradient."
        )
    elif len(kernels) > 2 and ratios[0] < _FALL * ratios[-2]:
        confidence, consequence = Confidence.HINT, "It falls from layer to layer on its way back."
    else:
        return []
    head = reading.layers[last.position].name if last.position is not None else ""
    words = {"variable": first.name, "last_variable": last.name, "consequence": consequence, "head": head}
    return [causes.VANISHING_GRADIENT.finding(confidence, numbers, words)]


def check_exploding(reading: LayersReading) -> list[Finding]:
    """A step of SGD that is longer than the weights."""
    taken = [v for v in reading.variables if v.gradient_norm is not None]
    if reading.sgd_rate is None or not taken:
        return []
    gradient = math.hypot(*(v.gradient_norm or 0.0 for v in taken))
    # Weights that start from 0 or near it come to about 1 / sqrt(inputs) each, as the usual initial ones are.
    weights = math.hypot(*(max(v.norm, math.sqrt(v.shape[-1] if v.shape else 1)) for v in taken))
    steps = reading.sgd_rate * gradient / weights
    if steps <= 1.0:
        return []
    largest = max(taken, key=lambda v: v.gradient_norm or 0.0)
    numbers = {"rate": reading.sgd_rate, "steps": steps, "gradient": gradient}
    return [causes.EXPLODING_GRADIENT.finding(Confidence.FORECAST, numbers, {"variable": largest.name})]
