"""What a model's compiled loss charges for outputs, sample by sample; also for the best constant answer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from keras_clr._keras.readings import loss_kind
from keras_clr._keras.tensors import to_numpy

# Sums in another order, relative to the sum.
_ROUNDING = 1e-4


def sample_losses(model: Any, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray | None:
    """The loss of each sample, shape (n,), by the one loss of the model; None if it does not tell samples apart."""
    loss = the_loss(model)
    if loss is None:
        return None
    y = keras.ops.convert_to_tensor(labels, dtype=loss.dtype)
    y_pred = keras.ops.convert_to_tensor(outputs, dtype=loss.dtype)
    losses = to_numpy(loss.call(y, y_pred))
    if losses.ndim == 0:
        # A loss of one's own that takes the mean itself. If it is one, those of single samples have it, too.
        singles = [float(to_numpy(loss.call(y[i : i + 1], y_pred[i : i + 1]))) for i in range(len(labels))]
        return np.array(singles) if np.isclose(np.mean(singles), float(losses), rtol=_ROUNDING) else None
    if len(losses) != len(labels):
        return None
    means: np.ndarray = losses.reshape(len(losses), -1).mean(axis=1, dtype=np.float64)
    return means


def constant_losses(
    model: Any, labels: np.ndarray, output_shape: tuple[int, ...], weights: np.ndarray
) -> np.ndarray | None:
    """The loss of each sample if the best constant were answered to all; None if that cannot be known.

    The best of: the shares of the classes for a cross-entropy; mean and median of the labels for any other loss.

    Args:
        model: A compiled model with one output.
        labels: Labels, shape (n, ...).
        output_shape: Shape of an output without the batch axis.
        weights: How many samples of the data each of these stands for, shape (n,), > 0.
    """
    candidates = []
    for answer in _constant_answers(model, labels, output_shape[-1] if output_shape else 1, weights):
        answers = np.broadcast_to(answer, (len(labels), *output_shape)).astype(keras.config.floatx())
        losses = sample_losses(model, labels, answers)
        if losses is not None and np.isfinite(losses).all():
            candidates.append(losses)
    return min(candidates, key=lambda losses: float(average(losses, weights)), default=None)


def the_loss(model: Any) -> Any | None:
    """The loss object of a model with a single loss on a single output, once it is known; else None."""
    compiled = model._compile_loss
    losses = compiled._flat_losses if compiled is not None and compiled.built else []
    return losses[0].loss if len(losses) == 1 and not losses[0].path else None


def _constant_answers(model: Any, labels: np.ndarray, units: int, weights: np.ndarray) -> list[np.ndarray]:
    kind, from_logits = loss_kind(the_loss(model))
    values = labels.astype(np.float64)
    if kind == "sparse":
        classes = values.reshape(-1).astype(int)
        if classes.min() < 0 or classes.max() >= units:
            return []
        counts = np.bincount(classes, np.repeat(weights, classes.size // len(weights)), minlength=units)
        shares = counts / counts.sum()
        return [np.log(np.maximum(shares, keras.config.epsilon())) if from_logits else shares]
    columns = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    if columns.shape[1] != units:
        return []
    mean = average(columns, weights)
    if not from_logits:
        return [mean, _median(columns, weights)]
    mean = np.clip(mean, keras.config.epsilon(), 1.0 - keras.config.epsilon())
    return [np.log(mean) if kind == "categorical" else np.log(mean) - np.log1p(-mean)]


def average(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Over the first axis; with several entries in a sample, each has the sample's weight."""
    return np.asarray(np.average(values, axis=0, weights=np.repeat(weights, len(values) // len(weights))))


def _median(columns: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Of each column the smallest value that half of the weight does not exceed."""
    order = np.argsort(columns, axis=0, kind="stable")
    below = np.cumsum(np.repeat(weights, len(columns) // len(weights))[order], axis=0)
    middle = (below >= 0.5 * below[-1]).argmax(axis=0)
    return np.asarray(np.take_along_axis(columns, np.take_along_axis(order, middle[None], axis=0), axis=0)[0])
