"""The first samples of whatever `fit` takes, without using up more of it than that."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_clr.finder.data import are_arrays, check_source, host_array


@dataclass(frozen=True)
class Samples:
    """Samples from the front.

    Attributes:
        inputs: Numpy arrays in the structure they came in.
        labels: Likewise.
        batch_size: Samples in the first batch; None if the data did not come in batches.
        num_batches: Batches that were taken.
        one_batch: Whether these were several, and all the same to the last bit.
    """

    inputs: Any
    labels: Any
    batch_size: int | None = None
    num_batches: int = 0
    one_batch: bool = False


def first_samples(x: Any, y: Any, limit: int) -> Samples:
    """Inputs and labels from the front.

    Of arrays, everything; of data in batches at most `limit` samples.

    Args:
        x: As for `fit`: arrays (also in lists and dicts), a `tf.data.Dataset`, a `PyDataset`, a torch `DataLoader`, or
            a generator, from which a few batches are taken.
        y: Labels, None where `x` brings them along.
        limit: Samples of data in batches.

    Raises:
        ValueError: If there are no samples or no labels, or they are no arrays that can be put together.
    """
    check_source(x, y)
    if are_arrays(x):
        if y is None:
            raise ValueError("Argument `y` must be given with arrays. Received: y=None")
        return Samples(_arrays("x", x), _arrays("y", y))
    parts: list[tuple[Any, Any]] = []
    count = 0
    for batch in _batches(x):
        if not isinstance(batch, (tuple, list)) or len(batch) < 2:
            raise ValueError(
                "Argument `x` must give tuples (inputs, labels). Received: batches without labels, the first a "
                f"{type(batch).__name__}"
            )
        parts.append((_arrays("x", batch[0]), _arrays("x", batch[1])))
        shapes = [[np.shape(array) for array in keras.tree.flatten(part)] for part in (parts[0], parts[-1])]
        if not shapes[1] or any(not shape for shape in shapes[1]):
            raise ValueError(
                "Argument `x` must give tuples (inputs, labels) of arrays. Received: a batch of "
                f"({type(batch[0]).__name__}, {type(batch[1]).__name__})"
            )
        if [shape[1:] for shape in shapes[0]] != [shape[1:] for shape in shapes[1]]:
            # As where each batch is padded to a length of its own: what came before has to do.
            parts.pop()
            break
        count += len(keras.tree.flatten(parts[-1][1])[0])
        if count >= limit:
            break
    if not count:
        raise ValueError("Argument `x` must give at least one batch. Received: no batch")
    sides = zip(*parts, strict=True)
    inputs, labels = (keras.tree.map_structure(lambda *a: np.concatenate(a)[:limit], *side) for side in sides)
    size = len(keras.tree.flatten(parts[0][1])[0])
    return Samples(inputs, labels, size, len(parts), len(parts) > 1 and all(_same(parts[0], part) for part in parts))


def _same(one: Any, other: Any) -> bool:
    pairs = zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True)
    return all(a.shape == b.shape and a.tobytes() == b.tobytes() for a, b in pairs)


def _batches(x: Any) -> Iterator[Any]:
    if isinstance(x, keras.utils.PyDataset):
        yield from (x[index] for index in range(len(x)))
    else:
        yield from x


def _arrays(name: str, structure: Any) -> Any:
    if isinstance(structure, (list, tuple)) and not any(hasattr(part, "shape") for part in structure):
        try:
            with warnings.catch_warnings():
                # NumPy before 1.24 only warns of rows of different lengths, and makes an array of lists.
                warnings.simplefilter("error", UserWarning)
                return np.asarray(structure)
        except (ValueError, UserWarning):
            raise ValueError(
                f"Argument `{name}` must be an array, or a list or dict of arrays. Received: a list whose rows differ "
                "in length"
            ) from None
    return keras.tree.map_structure(host_array, structure)
