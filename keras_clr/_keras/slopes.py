"""How the compiled loss changes with the outputs: its slope, without the model behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_clr._keras.tensors import Batch, apart, tensors, to_numpy, weights_for

# How far from the outputs, in their own size, the slope is looked at as well.
_DISTANCES = (0.1, 1.0, 10.0)


@dataclass(frozen=True)
class LossSlopes:
    """Slope of the training loss in the outputs of one batch.

    Attributes:
        at_outputs: At the outputs as they are, one array for each; zeros where the loss does not depend on one.
        flat: Whether it is exactly 0 there, at random places around them, and at numbers in [0, 1).
    """

    at_outputs: tuple[np.ndarray, ...]
    flat: bool


def read_slopes(model: Any, batch: Batch, y_pred: Any) -> LossSlopes:
    """The slopes; the model stays as it is.

    Args:
        model: A compiled and built model.
        batch: What went in.
        y_pred: What came out, in the structure in which it did.
    """
    _, y, sample_weight = batch
    outputs = [to_numpy(part) for part in keras.tree.flatten(y_pred)]
    slope = _slope_function(model, batch[0], y, sample_weight, y_pred)
    at_outputs = slope(outputs)
    flat = not any(part.any() for part in at_outputs)
    if flat:
        rng = np.random.default_rng(0)
        sizes = [float(np.abs(part).mean(dtype=np.float64)) or 1.0 for part in outputs]
        places = [
            [part + distance * size * rng.normal(size=part.shape) for part, size in zip(outputs, sizes, strict=True)]
            for distance in _DISTANCES
        ]
        places.append([rng.uniform(size=part.shape) for part in outputs])
        flat = not any(
            part.any()
            for place in places
            for part in slope([new.astype(old.dtype) for new, old in zip(place, outputs, strict=True)])
        )
    return LossSlopes(tuple(at_outputs), flat)


def _slope_function(
    model: Any, x: Any, y: Any, sample_weight: Any, structure: Any
) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
    """From outputs to the gradient of the loss in each."""

    def loss(leaves: Sequence[Any], x: Any, y: Any, sample_weight: Any) -> Any:
        y_pred = keras.tree.pack_sequence_as(structure, list(leaves))
        with keras.StatelessScope([(v, v.value) for v in model.variables]):
            return model._compute_loss(
                x=x, y=y, y_pred=y_pred, sample_weight=weights_for(y_pred, sample_weight), training=True
            )

    take = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]

    def slope(outputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        with apart(gradient=True):
            gradients = take(lambda leaves: loss(leaves, *tensors((x, y, sample_weight))), tensors(list(outputs)))
        return [np.zeros_like(o) if g is None else to_numpy(g) for o, g in zip(outputs, gradients, strict=True)]

    return slope


def _tensorflow(loss: Callable[..., Any], leaves: list[Any]) -> Sequence[Any]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(leaves)
        value = loss(leaves)
    gradients: Sequence[Any] = tape.gradient(value, leaves)
    return gradients


def _jax(loss: Callable[..., Any], leaves: list[Any]) -> Sequence[Any]:
    import jax

    gradients: Sequence[Any] = jax.grad(loss)(leaves)
    return gradients


def _torch(loss: Callable[..., Any], leaves: list[Any]) -> Sequence[Any]:
    import torch

    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    value = loss(leaves)
    if not value.requires_grad:
        return [None] * len(leaves)
    gradients: Sequence[Any] = torch.autograd.grad(value, leaves, allow_unused=True)
    return gradients
