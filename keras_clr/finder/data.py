"""A first batch of whatever `fit` takes, without losing it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import keras


def first_inputs(x: Any) -> tuple[Any, Any]:
    """The model inputs of a first batch (or sample) of `x`, and the data to go on with.

    Args:
        x: As for `fit`: arrays (also in lists and dicts), a `tf.data.Dataset`, a `PyDataset`, a torch `DataLoader`, or
            a generator, whose first batch is put back in front.
    """
    if isinstance(x, keras.utils.PyDataset):
        return _inputs(x[0]), x
    if isinstance(x, Iterator):
        batch = next(x)
        return _inputs(batch), _put_back(batch, x)
    if are_arrays(x):
        return keras.tree.map_structure(lambda array: array[:1], x), x
    return _inputs(next(iter(x))), x


def are_arrays(x: Any) -> bool:
    """Whether `x` is made of arrays that can be sliced (numpy, tensors, pandas), also in lists and dicts."""
    return isinstance(x, (list, tuple, dict)) or hasattr(x, "shape") or hasattr(x, "iloc")


def _put_back(batch: Any, rest: Iterator[Any]) -> Generator[Any, None, None]:
    # Keras knows a generator by its type: `itertools.chain` would not do.
    yield batch
    yield from rest


def _inputs(batch: Any) -> Any:
    inputs = batch[0] if isinstance(batch, (tuple, list)) else batch
    # A torch DataLoader hands out torch tensors on every backend.
    return keras.tree.map_structure(lambda a: a.numpy() if hasattr(a, "numpy") else a, inputs)
