"""What a model answers in inference mode, in the middle of a fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_clr._keras.tensors import Batch, apart, tensors, to_numpy

# Samples with so many input values in all, 1 MB as float32, go through the model in one call.
_FEW_VALUES = 2**18


def predict(model: Any, batches: Sequence[Batch]) -> np.ndarray:
    """Outputs in inference mode of a model with one output."""
    return predict_all(model, batches)[0]


def predict_all(model: Any, batches: Sequence[Batch], weights: Sequence[Any] | None = None) -> list[np.ndarray]:
    """Each output in inference mode. `model.predict` would start a run of its own in mid-training.

    Args:
        model: The model.
        batches: What to look at.
        weights: Trainable weights to look at instead of the model's own.
    """
    mapping = [] if weights is None else list(zip(model.trainable_variables, tensors(list(weights)), strict=True))
    outputs = []
    for x in _joined(model, [x for x, _, _ in batches]):
        with keras.StatelessScope(mapping), apart(gradient=False):
            x = tensors(x)
            y_pred = model(x, training=False) if model._call_has_training_arg else model(x)
            outputs.append([to_numpy(output) for output in keras.tree.flatten(y_pred)])
    return [np.concatenate(parts) for parts in zip(*outputs, strict=True)]


def _joined(model: Any, inputs: Sequence[Any]) -> list[Any]:
    """The same samples in fewer calls, each of which costs a millisecond or more, where they are small."""
    arrays = keras.tree.flatten(inputs[0])
    fixed = any(tensor.shape[0] is not None for tensor in keras.tree.flatten(getattr(model, "inputs", None) or []))
    num_joined = 1 if fixed else max(1, _FEW_VALUES // max(1, sum(array.size for array in arrays)))
    groups = [inputs[i : i + num_joined] for i in range(0, len(inputs), num_joined)]
    return [keras.tree.map_structure(lambda *parts: np.concatenate(parts), *group) for group in groups]
