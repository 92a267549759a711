"""The first samples of whatever `fit` takes, without using up more of it than that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_clr._keras.tensors import to_numpy
from keras_clr.finder.data import are_arrays


def first_samples(x: Any, y: Any, limit: int) -> tuple[Any, Any, int | None]:
    """Inputs and labels from the front, as numpy arrays in the structure they came in, and the size of a batch.

    Of arrays, everything, and no size; of data in batches at most `limit` samples.

    Args:
        x: As for `fit`: arrays (also in lists and dicts), a `tf.data.Dataset`, a `PyDataset`, a torch `DataLoader`, or
            a generator, from which a few batches are taken.
        y: Labels, None where `x` brings them along.
        limit: Samples of data in batches.

    Raises:
        ValueError: If there are no samples, or no labels.
    """
    if are_arrays(x):
        if y is None:
            raise ValueError("Argument `y` must be given with arrays. Received: y=None")
        return _arrays(x), _arrays(y), None
    if y is not None:
        raise ValueError(f"Argument `y` must be left out: {type(x).__name__} brings the labels along.")
    parts: list[tuple[Any, Any]] = []
    count = 0
    for batch in _batches(x):
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise ValueError("Argument `x` must give tuples (inputs, labels). Received: batches without labels")
        parts.append((_arrays(batch[0]), _arrays(batch[1])))
        count += len(keras.tree.flatten(parts[-1][1])[0])
        if count >= limit:
            break
    if not count:
        raise ValueError("Argument `x` gave no batch.")
    sides = zip(*parts, strict=True)
    inputs, labels = (keras.tree.map_structure(lambda *a: np.concatenate(a)[:limit], *side) for side in sides)
    return inputs, labels, len(keras.tree.flatten(parts[0][1])[0])


def _batches(x: Any) -> Iterator[Any]:
    if isinstance(x, keras.utils.PyDataset):
        yield from (x[index] for index in range(len(x)))
    else:
        yield from x


def _arrays(structure: Any) -> Any:
    if isinstance(structure, (list, tuple)) and not any(hasattr(part, "shape") for part in structure):
        return np.asarray(structure)
    return keras.tree.map_structure(lambda part: to_numpy(getattr(part, "values", part)), structure)
