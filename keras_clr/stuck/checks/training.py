"""Evidence from a run: can the weights still move, and if not, why. Measured first, then judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_clr._keras.gradients import Batch, GradientProbe, predict, to_numpy
from keras_clr._keras.optimizers import accumulation_steps, leaf_optimizers
from keras_clr.stuck.causes.training import SATURATED_CLIPPED_LOSS, ZERO_GRADIENT
from keras_clr.stuck.checks import Reach, Standstill
from keras_clr.stuck.finding import Confidence, Finding

# Two halves of this many steps tell whether the optimizer's own motion dies out, and where it ends.
_COAST_STEPS = 8
# The second half moved nearly as far as the first: it does not die out in any useful time.
_STILL_MOVING = 0.97
# Where on the way of the remaining momentum the gradient is looked at. Beyond 1: the way grows with
# the learning rate, which may be at the bottom of a cycle now (a 60-fold rise within 40 steps makes
# Adam's way 14 times longer).
_FRACTIONS = (0.5, 1.0, 4.0, 16.0)
# Relative error that a loss and an accuracy, both running means in float32, may bring along.
_SIGNATURE_ERROR = 2e-3
# Inputs whose mean or spread is beyond this are worth a Rescaling layer in the fix.
_LARGE_INPUT = 3.0

_LOSS_CLASSES = {
    "categorical": "CategoricalCrossentropy",
    "sparse": "SparseCategoricalCrossentropy",
    "binary": "BinaryCrossentropy",
}


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


def is_saturated(clipped: tuple[int, int], num_samples: int, loss_kind: str | None) -> bool:
    """True if the clip inside the cross-entropy explains a gradient of 0 on every sample."""
    return loss_kind is not None and sum(clipped) == num_samples


def check_standstill(seen: Standstill) -> Finding:
    """The finding for a run that cannot move: the clipped loss if it explains it, else unknown."""
    numbers: dict[str, Any] = {
        "num_variables": seen.gradient.num_variables,
        "num_samples": seen.num_samples,
        "num_draws": seen.gradient.num_draws,
        "num_checks": seen.num_checks,
        # None of n samples has a gradient: the share that does is below this with 95 % confidence.
        "other_share": 1.0 - 0.05 ** (1.0 / seen.num_samples),
        "rate": seen.rate,
    }
    if not is_saturated(seen.clipped, seen.num_samples, seen.loss_kind):
        return ZERO_GRADIENT.finding(Confidence.CERTIFICATE, numbers)
    epsilon = keras.config.epsilon()
    numbers |= {"epsilon": epsilon, "num_wrong": seen.clipped[0], "num_right": seen.clipped[1]}
    if seen.reach is not None:
        numbers |= {"logit_spread": seen.reach.spread, "logit_step": seen.reach.step}
    words = {
        "signature": _signature(seen, epsilon, numbers),
        "reach": _reach_sentence(seen.reach, epsilon),
        "rescaling": _rescaling(seen.inputs),
        "units": seen.units,
        "loss": _LOSS_CLASSES[str(seen.loss_kind)],
        "metric": ("keras.metrics.BinaryAccuracy(threshold=0.0)" if seen.loss_kind == "binary" else '"accuracy"'),
    }
    return SATURATED_CLIPPED_LOSS.finding(Confidence.CERTIFICATE, numbers, words)


def way_out(model: Any, probe: GradientProbe, batches: Sequence[Batch]) -> str | None:
    """Why weights with a gradient of 0 may move all the same, or None if they cannot.

    The optimizer goes on for a while without a gradient: momentum decays, it does not stop. So the
    gradient must be 0 on the way it will take as well.
    """
    way = _coast(model, probe)
    if way.obstacle is not None:
        return way.obstacle
    if way.end is way.start:
        return None
    for fraction in _FRACTIONS:
        if not probe.read(batches, num_draws=1, weights=way.at(fraction)).zero:
            return "the optimizer's momentum leads to weights where it is not 0"
    return None


def measure_accuracy(outputs: np.ndarray, classes: np.ndarray, weights: np.ndarray, threshold: float) -> float:
    """Accuracy of outputs `(n, k)` with one weight per sample (the probe is spread over classes)."""
    answers = outputs[:, 0] > threshold if outputs.shape[1] == 1 else outputs.argmax(axis=1)
    return float(np.average(answers == classes, weights=weights))


def count_clipped(outputs: np.ndarray, classes: np.ndarray, epsilon: float) -> tuple[int, int]:
    """Samples whose true-class probability lies below `epsilon`, and above 1 - `epsilon`."""
    if outputs.shape[1] == 1:
        probabilities = np.where(classes == 1, outputs[:, 0], 1.0 - outputs[:, 0])
    else:
        with np.errstate(divide="ignore", invalid="ignore"):
            rows = outputs / outputs.sum(axis=1, keepdims=True)
        probabilities = rows[np.arange(len(classes)), classes]
    # Keras compares in the precision of the output: 1 - 1e-7 is 1 - 1.19e-7 in float32.
    upper = probabilities.dtype.type(1.0 - epsilon)
    lower = probabilities.dtype.type(epsilon)
    return int((probabilities < lower).sum()), int((probabilities > upper).sum())


def measure_reach(model: Any, batches: Sequence[Batch], rate: float) -> Reach | None:
    """Logits behind a last Dense layer with softmax or sigmoid; None if the model has another form."""
    squashing = (keras.activations.softmax, keras.activations.sigmoid)
    for layer in reversed(getattr(model, "layers", [])):
        if layer.trainable_weights or getattr(layer, "activation", None) in squashing:
            break
    else:
        return None
    if not isinstance(layer, keras.layers.Dense) or layer.activation not in squashing:
        return None
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    # A name of its own, or the counter behind automatic names would move on.
    features = predict(keras.Model(inputs, layer.input, name="keras_clr_features"), batches)
    if features.ndim != 2:
        return None
    logits = features @ to_numpy(layer.kernel) + (0.0 if layer.bias is None else to_numpy(layer.bias))
    spread = np.ptp(logits, axis=1) if logits.shape[1] > 1 else np.abs(logits[:, 0])
    # With Adam and its kin a weight moves by about the rate, whatever the size of the gradient.
    bounded = all(isinstance(leaf, keras.optimizers.Adam) for leaf in leaf_optimizers(model.optimizer))
    step = rate * (float(np.median(np.abs(features).sum(axis=1))) + 1.0) if bounded else None
    return Reach(float(np.median(spread)), step, rate)


def _signature(seen: Standstill, epsilon: float, numbers: dict[str, Any]) -> str:
    """Says so if the loss is what clipped wrong answers cost; notes it in `numbers`."""
    if seen.loss is None or seen.accuracy is None or seen.accuracy >= 1.0:
        return ""
    price = seen.loss / (1.0 - seen.accuracy)
    at_zero = -math.log(epsilon)
    at_one = -math.log(1.0 - float(np.float32(1.0 - epsilon)))
    numbers |= {"loss_per_wrong_answer": price, "clipped_price": at_zero}
    if not at_one * (1.0 - _SIGNATURE_ERROR) <= price <= at_zero * (1.0 + _SIGNATURE_ERROR):
        return ""
    return (
        f" The training loss says the same: {seen.loss:.4f} = (1 - accuracy) x {price:.3f}; a "
        f"clipped wrong answer costs {at_zero:.3f} (at the upper end {at_one:.3f})."
    )


def _reach_sentence(reach: Reach | None, epsilon: float) -> str:
    if reach is None:
        return ""
    sentence = (
        f" The logits of one sample lie {reach.spread:.3g} apart (median); beyond "
        f"{-math.log(epsilon):.0f} they are clipped."
    )
    if reach.step is not None:
        sentence += f" At the present rate of {reach.rate:g}, one Adam step can move a logit by up to {reach.step:.3g}."
    return sentence


def _rescaling(inputs: tuple[float, float] | None) -> str:
    if inputs is None or inputs[1] == 0.0 or max(abs(inputs[0]), inputs[1]) <= _LARGE_INPUT:
        return ""
    mean, spread = inputs
    return (
        f"scale = keras.layers.Rescaling({1.0 / spread:.3g}, offset={-mean / spread:.3g})"
        f"  # first layer: the inputs have mean {mean:.3g}, spread {spread:.3g}\n"
    )


def _coast(model: Any, probe: GradientProbe) -> _Coast:
    """Where the optimizer takes the weights by itself.

    With a zero gradient the motion is that of the momentum, which shrinks by the same factor at
    every step (SGD, Adam and their kin), so two halves of a few steps give its end.
    """
    leaves = leaf_optimizers(model.optimizer)
    if any(leaf.weight_decay for leaf in leaves):
        return _Coast([], [], "weight decay keeps moving the weights")
    if any(leaf.use_ema and leaf.ema_overwrite_frequency for leaf in leaves):
        return _Coast([], [], "the optimizer puts averages of earlier weights in their place")
    half = max(_COAST_STEPS, 2 * accumulation_steps(model.optimizer))
    start, middle, last = probe.run_without_gradient((half, 2 * half))
    first, second = _distance(start, middle), _distance(middle, last)
    if first == 0.0 and second == 0.0:
        return _Coast(start, start, None)
    if not second < _STILL_MOVING * first:
        return _Coast(start, start, "the optimizer keeps moving the weights without a gradient")
    ratio = second / first
    return _Coast(start, _Coast(middle, last, None).at(1.0 / (1.0 - ratio)), None)


def _distance(a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> float:
    return math.hypot(*(float(np.linalg.norm(_step(p, q))) for p, q in zip(a, b, strict=True)))


def _step(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    return _float(end) - _float(start)


def _float(weights: np.ndarray) -> np.ndarray:
    # Not float64: of a large layer, a few copies of that alone would take a gigabyte.
    return weights.astype(np.result_type(weights.dtype, np.float32), copy=False)
