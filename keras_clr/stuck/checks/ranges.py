"""What an activation can put out at all, and how low that lets a loss fall. Pure; no training, no weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np

from keras_clr._keras.heads import Head

_ANY = (-math.inf, math.inf)


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > -700 else 0.0


def _exp(x: float) -> float:
    return math.exp(x) if x < 700 else math.inf


# Functions that never fall, so that limits go to limits. A function that is missing here can give anything.
_RISING: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "sigmoid": _sigmoid,
    "hard_sigmoid": lambda x: min(max(x / 6.0 + 0.5, 0.0), 1.0),
    "tanh": math.tanh,
    "hard_tanh": lambda x: min(max(x, -1.0), 1.0),
    "softsign": lambda x: x / (1.0 + abs(x)) if math.isfinite(x) else math.copysign(1.0, x),
    "softplus": lambda x: x if x > 700 else math.log1p(_exp(x)),
    "exponential": _exp,
    "elu": lambda x: x if x > 0 else math.expm1(x),
}


def output_range(activations: Iterable[str], units: int | None) -> tuple[float, float]:
    """Smallest and largest value that one unit can have after a chain of activations.

    >>> output_range(["sigmoid"], 1)
    (0.0, 1.0)
    >>> [round(limit, 3) for limit in output_range(["softmax", "softmax"], 10)]
    [0.039, 0.232]
    """
    low, high = _ANY
    for name in activations:
        if name == "softmax":
            low, high = _softmax_range(high - low, units)
        elif name in _RISING:
            low, high = _RISING[name](low), _RISING[name](high)
        else:
            low, high = _ANY
    return low, high


def _softmax_range(spread: float, units: int | None) -> tuple[float, float]:
    """Of values that lie within `spread` of each other."""
    if units is None:
        return 0.0, 1.0
    if units == 1:
        return 1.0, 1.0
    return 1.0 / (1.0 + (units - 1) * _exp(spread)), 1.0 / (1.0 + (units - 1) * math.exp(-spread))


def chain_of_loss(head: Head) -> tuple[str, ...]:
    """All functions between the weights and the probabilities in a cross-entropy, the loss' own included."""
    loss = head.loss
    if loss is None or not (loss.from_logits or loss.sees_logits):
        return head.activations
    own = "sigmoid" if loss.kind == "binary" else "softmax"
    return (*(head.activations[:-1] if loss.sees_logits else head.activations), own)


def cross_entropy_floor(head: Head, labels: np.ndarray) -> float:
    """What the cross-entropy cannot fall below, in nats, beyond what the labels themselves cost."""
    low, high = output_range(chain_of_loss(head), head.units)
    if head.loss is None or low < 0.0 or high > 1.0:
        return 0.0
    if head.loss.kind != "binary":
        return -math.log(high)
    p = labels * (1.0 - head.loss.label_smoothing) + 0.5 * head.loss.label_smoothing
    return float(np.mean(_cost(p, np.clip(p, low, high)) - _cost(p, p)))


def _cost(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(p > 0, p * np.log(q), 0.0) - np.where(p < 1, (1 - p) * np.log1p(-q), 0.0)
