"""Arrays into tensors and back, on whatever backend."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

Batch = tuple[Any, Any, Any]
"""Inputs, labels and sample weights of one batch, as numpy arrays (inputs may be nested)."""


@contextlib.contextmanager
def apart(gradient: bool) -> Iterator[None]:
    """Keeps torch's own random state, from which dropout without a seed draws, and builds a graph only if wanted."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.random.fork_rng(range(torch.cuda.device_count())), torch.set_grad_enabled(gradient):
        yield


def tensors(structure: Any) -> Any:
    return keras.tree.map_structure(keras.ops.convert_to_tensor, structure)


def weights_for(y_pred: Any, sample_weight: Any) -> Any:
    """The weight of each sample in the shape that the loss of each output has: (n, 1) for a loss of (n, steps)."""
    return keras.tree.map_structure(
        lambda output: keras.ops.reshape(sample_weight, (-1, *[1] * max(len(output.shape) - 2, 0))), y_pred
    )


def to_numpy(tensor: Any) -> np.ndarray:
    """A tensor or variable as an array; `keras.ops.convert_to_numpy` warns on variables with numpy 2."""
    value = tensor.value if isinstance(tensor, keras.Variable) else tensor
    if hasattr(value, "read_value"):
        # Under `MirroredStrategy` a metric's variable is a sum over the replicas, which numpy cannot read.
        value = value.read_value()
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # numpy has no bfloat16; it goes through float32 and back unchanged.
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    return np.asarray(value)


def numpy_copy(variable: Any) -> np.ndarray:
    """The value of a variable, safe from what happens to the variable."""
    return np.array(to_numpy(variable), copy=True)
