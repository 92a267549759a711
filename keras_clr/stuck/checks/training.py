"""Evidence from a run whose weights cannot move: why. Measured first, then judged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_clr._keras.gradient_reading import GradientReading
from keras_clr._keras.optimizers import leaf_optimizers
from keras_clr._keras.prediction import predict
from keras_clr._keras.tensors import Batch, to_numpy
from keras_clr.stuck.causes.training import OUTPUT_IGNORES_INPUT, SATURATED_CLIPPED_LOSS, ZERO_GRADIENT
from keras_clr.stuck.finding import Confidence, Finding

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
class Reach:
    """How far apart the logits lie, and how far one step can move them.

    Attributes:
        spread: Median over the samples of largest minus smallest logit (one unit: distance from 0).
        step: What one Adam step at the present rate can move a logit by, median over the samples:
            rate x (sum of |features| + 1); None for another optimizer.
        rate: The present learning rate.
    """

    spread: float
    step: float | None
    rate: float


@dataclass(frozen=True)
class Standstill:
    """What was measured on a run whose weights cannot move.

    Attributes:
        gradient: The last look at the gradient.
        whole: Whether no trainable variable has one; else, the output is the same for all samples, and none that could
            change that has one.
        num_samples: Probe samples.
        num_checks: Epoch ends in a row at which it was 0.
        updates_ahead: Updates during which weight decay does not lead out; None without weight decay.
        accuracy: Training accuracy of the epoch, or None.
        loss: Training loss of the epoch, or None.
        loss_kind: "categorical", "sparse" or "binary" if the loss is a plain cross-entropy of
            probabilities, else None.
        clipped: Probe samples whose true-class probability is clipped at 0, and at 1.
        units: Units of the output.
        rate: Learning rate at the end of the epoch.
        reach: Logits, where the model allows to see them.
        inputs: Mean and spread of the probe inputs, where they are one array of numbers.
    """

    gradient: GradientReading
    num_samples: int
    num_checks: int
    whole: bool
    updates_ahead: float | None
    accuracy: float | None
    loss: float | None
    loss_kind: str | None
    clipped: tuple[int, int]
    units: int
    rate: float
    reach: Reach | None = None
    inputs: tuple[float, float] | None = None


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
    confidence, lasting = Confidence.CERTIFICATE, ""
    if seen.updates_ahead is not None:
        confidence = Confidence.FORECAST
        numbers["updates_ahead"] = seen.updates_ahead
        lasting = f" Weight decay goes on, and does not lead out of it in the next {seen.updates_ahead:,.0f} updates."
    if not seen.whole:
        numbers["num_held"] = sum(seen.gradient.zeros)
        return OUTPUT_IGNORES_INPUT.finding(confidence, numbers, {"lasting": lasting})
    if not is_saturated(seen.clipped, seen.num_samples, seen.loss_kind):
        return ZERO_GRADIENT.finding(confidence, numbers, {"lasting": lasting})
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
    return SATURATED_CLIPPED_LOSS.finding(confidence, numbers, words | {"lasting": lasting})


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
        sentence += f" At the present rate of {reach.rate:g}, one Adam step moves a logit by about {reach.step:.3g}."
    return sentence


def _rescaling(inputs: tuple[float, float] | None) -> str:
    if inputs is None or inputs[1] == 0.0 or max(abs(inputs[0]), inputs[1]) <= _LARGE_INPUT:
        return ""
    mean, spread = inputs
    return (
        f"scale = keras.layers.Rescaling({1.0 / spread:.3g}, offset={-mean / spread:.3g})"
        f"  # first layer: the inputs have mean {mean:.3g}, spread {spread:.3g}\n"
    )
