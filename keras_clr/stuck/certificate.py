"""Proof that a run cannot move any more, taken on the probe samples without changing the model by a bit."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_clr._keras.gradient_reading import GradientReading
from keras_clr._keras.gradients import GradientProbe
from keras_clr._keras.optimizers import accumulation_steps, leaf_optimizers
from keras_clr._keras.prediction import predict_all
from keras_clr._keras.tensors import Batch, to_numpy

# Looks at the gradient of each probe sample, each with dropout of its own.
NUM_DRAWS = 3
# Epoch ends in a row at which the gradient must be 0. The whole epoch before the second one was frozen already, so its
# training accuracy and loss are those of the frozen state.
NUM_CHECKS = 2
# Two halves of this many steps tell whether the optimizer's own motion dies out, and where it ends.
_COAST_STEPS = 8
# The second half moved nearly as far as the first: it does not die out in any useful time.
_STILL_MOVING = 0.97
# Where on the way of the remaining momentum the gradient is looked at. Beyond 1: the way grows with the learning rate,
# which may be at the bottom of a cycle now (a 60-fold rise within 40 steps makes Adam's way 14 times longer).
_FRACTIONS = (0.5, 1.0, 4.0, 16.0)
# How far the weights that still move are changed at random, in their own size, to see that they make no difference.
_RANDOM_SIZES = (1.0, 10.0, 100.0)
# Of the largest output: a difference between samples below this is rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Look:
    """What the gradient of the training loss is on all probe samples.

    Attributes:
        gradient: What was seen.
        whole: No trainable weight has one.
        blind: The output is the same for every sample, and no weight that could change that has a gradient.
    """

    gradient: GradientReading
    whole: bool
    blind: bool

    @property
    def standstill(self) -> bool:
        """Whether nothing more can be learned, if it stays so."""
        return self.whole or self.blind


def take_look(model: Any, batches: Sequence[Batch], outputs: Sequence[np.ndarray]) -> Look:
    """The gradient now.

    Args:
        model: A compiled model.
        batches: The probe samples.
        outputs: What the model answers to them in inference mode.
    """
    gradient = GradientProbe.of(model).read(batches, NUM_DRAWS)
    whole = gradient.zero
    # Of inputs that are all the same, nothing can be seen anyway.
    inputs = [np.concatenate(parts) for parts in zip(*(keras.tree.flatten(x) for x, _, _ in batches), strict=True)]
    blind = not whole and any(gradient.zeros) and _same_for_all(outputs) and not _same_for_all(inputs)
    if blind:
        held = gradient.zeros
        blind = all(_is_blind(model, batches, held, weights) for weights in _random_weights(model, held))
    return Look(gradient, whole, blind)


def way_out(model: Any, batches: Sequence[Batch], held: Sequence[bool], decay: float | None = None) -> str | None:
    """Why weights with a gradient of 0 may move all the same, or None if they cannot.

    The optimizer goes on for a while without a gradient: momentum decays, it does not stop. So the gradient must be 0
    on the way it will take as well. Weight decay shrinks weights without end: what it leaves of them is looked at.

    Args:
        model: A compiled model.
        batches: The probe samples.
        held: For each trainable variable, whether it is one that must not move.
        decay: What weight decay leaves of the weights in the time that counts, in (0, 1]; None: nobody knows.
    """
    leaves = leaf_optimizers(model.optimizer)
    if any(leaf.use_ema and leaf.ema_overwrite_frequency for leaf in leaves):
        return "the optimizer puts averages of earlier weights in their place"
    if has_weight_decay(model) and decay is None:
        return "weight decay keeps moving the weights"
    probe = GradientProbe.of(model)
    with _without_weight_decay(leaves):
        way = _coast(model, probe, held)
    if way.obstacle is not None:
        return way.obstacle

    def moves(weights: list[np.ndarray]) -> bool:
        zeros = probe.read(batches, num_draws=1, weights=weights).zeros
        return not all(zero for zero, must in zip(zeros, held, strict=True) if must)

    if way.end is not way.start and any(moves(way.at(fraction)) for fraction in _FRACTIONS):
        return "the optimizer's momentum leads to weights where it is not 0"
    if has_weight_decay(model) and decay is not None:
        shrinking = [any(leaf._use_weight_decay(v) for leaf in leaves) for v in model.trainable_variables]
        for share in (math.sqrt(decay), decay):
            if moves([w * w.dtype.type(share) if s else w for w, s in zip(way.end, shrinking, strict=True)]):
                return "weight decay leads to weights where it is not 0"
    return None


def has_weight_decay(model: Any) -> bool:
    """Whether an optimizer shrinks the weights by itself."""
    return any(leaf.weight_decay for leaf in leaf_optimizers(model.optimizer))


def decay_left(model: Any, num_updates: float, rate: float) -> float:
    """What weight decay leaves of the weights after so many updates at this rate."""
    strongest = max(float(leaf.weight_decay or 0.0) for leaf in leaf_optimizers(model.optimizer))
    return math.exp(-num_updates * rate * strongest)


@contextlib.contextmanager
def _without_weight_decay(leaves: Sequence[Any]) -> Iterator[None]:
    """For a while, no optimizer shrinks the weights."""
    decays = [leaf.weight_decay for leaf in leaves]
    try:
        for leaf in leaves:
            leaf.weight_decay = None
        yield
    finally:
        for leaf, decay in zip(leaves, decays, strict=True):
            leaf.weight_decay = decay


def _same_for_all(arrays: Sequence[np.ndarray]) -> bool:
    return all(np.ptp(array, axis=0).max() <= _ROUNDING * np.abs(array).max() for array in arrays)


def _is_blind(model: Any, batches: Sequence[Batch], held: Sequence[bool], weights: list[np.ndarray]) -> bool:
    """Whether with these weights, too, the output sees nothing of the input, and the held ones have no gradient."""
    if not _same_for_all(predict_all(model, batches, weights)):
        return False
    zeros = GradientProbe.of(model).read(batches, num_draws=1, weights=weights).zeros
    return all(zero for zero, must in zip(zeros, held, strict=True) if must)


def _random_weights(model: Any, held: Sequence[bool]) -> Iterator[list[np.ndarray]]:
    """Weights with those that still move somewhere else, nearby and far away."""
    rng = np.random.default_rng(0)
    values = [to_numpy(variable) for variable in model.trainable_variables]
    for size in _RANDOM_SIZES:
        steps = [size * (0.1 + np.abs(value).mean()) * rng.normal(size=value.shape) for value in values]
        yield [
            value if keep else (value + step).astype(value.dtype)
            for value, step, keep in zip(values, steps, held, strict=True)
        ]


@dataclass(frozen=True)
class _Coast:
    """Where the weights go if every gradient from now on is 0: the optimizer's momentum alone.

    Attributes:
        start: Trainable weights now.
        end: Where they come to rest.
        obstacle: Why they never come to rest, or None.
    """

    start: list[np.ndarray]
    end: list[np.ndarray]
    obstacle: str | None

    def at(self, fraction: float) -> list[np.ndarray]:
        """Weights after this fraction of the way; beyond 1 for a learning rate that grows."""
        return [
            (_float(w) + np.float32(fraction) * _step(w, e)).astype(w.dtype)
            for w, e in zip(self.start, self.end, strict=True)
        ]


def _coast(model: Any, probe: GradientProbe, held: Sequence[bool]) -> _Coast:
    """Where the optimizer takes the weights by itself.

    With a zero gradient the motion is that of the momentum, which shrinks by the same factor at every step (SGD, Adam
    and their kin), so two halves of a few steps give its end.
    """
    half = max(_COAST_STEPS, 2 * accumulation_steps(model.optimizer))
    start, middle, last = probe.run_without_gradient((half, 2 * half))
    first, second = _distance(start, middle, held), _distance(middle, last, held)
    if first == 0.0 and second == 0.0:
        return _Coast(start, start, None)
    if not second < _STILL_MOVING * first:
        return _Coast(start, start, "the optimizer keeps moving the weights without a gradient")
    ratio = second / first
    return _Coast(start, _Coast(middle, last, None).at(1.0 / (1.0 - ratio)), None)


def _distance(a: Sequence[np.ndarray], b: Sequence[np.ndarray], held: Sequence[bool]) -> float:
    parts = zip(a, b, held, strict=True)
    return math.hypot(*(float(np.linalg.norm(_step(p, q))) for p, q, keep in parts if keep))


def _step(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    step: np.ndarray = _float(end) - _float(start)
    return step


def _float(weights: np.ndarray) -> np.ndarray:
    # Not float64: of a large layer, a few copies of that alone would take a gigabyte.
    return np.asarray(weights, np.result_type(weights.dtype, np.float32))
