"""What `fit` takes as data: checked, counted, and its first batch, without losing it."""

from __future__ import annotations

import functools
from collections.abc import Generator, Iterable, Iterator
from typing import Any

import keras
import numpy as np

from keras_clr._errors import attempt
from keras_clr._finite import bad_rows
from keras_clr._keras.tensors import to_numpy

_ANY_DATA = "arrays (also in lists and dicts), a `tf.data.Dataset`, `PyDataset`, torch `DataLoader` or generator"


def check_source(x: Any, y: Any) -> None:
    """Refuses what is no data at all, and labels beside data that bring their own.

    Raises:
        ValueError: If so.
    """
    if are_arrays(x):
        return
    batches = isinstance(x, (Iterable, keras.utils.PyDataset)) and not isinstance(x, (str, bytes))
    if not batches:
        raise ValueError(f"Argument `x` must be {_ANY_DATA}. Received: x={x!r:.100}")
    if y is not None:
        raise ValueError(
            f"Argument `y` must be left out: {type(x).__name__} brings the labels along. Received: y={type(y).__name__}"
        )


def check_rows(who: str, **parts: Any) -> int:
    """The number of samples, the same in all `parts`.

    Args:
        who: "Argument `...`" or "Arguments `...`", for the error.
        **parts: Arrays, also in lists and dicts; None is left out.

    Raises:
        ValueError: If they have not the same number of samples.
    """
    counts, received = set(), []
    for name, part in parts.items():
        for path, array in keras.tree.flatten_with_path(part):
            if hasattr(array, "shape"):
                shape, label = tuple(array.shape), name + "".join(f"[{key!r}]" for key in path)
                counts.add(shape[:1])
                received.append(f"{label} of shape {shape}" if shape else f"{label}={array!s:.50}")
    if len(counts) != 1 or () in counts:
        # A list of samples is taken for that many inputs.
        more = f" and {len(received) - 6} more. In a list, each array is an input" if len(received) > 6 else ""
        raise ValueError(
            f"{who} must have the same number of samples in every array. Received: {', '.join(received[:6])}{more}"
        )
    return int(counts.pop()[0])


def check_numbers(name: str, part: Any) -> None:
    """Refuses text, and objects of other kinds that are no numbers.

    Raises:
        ValueError: If so.
    """
    for array in keras.tree.flatten(part):
        few = array.iloc[:1].to_numpy() if hasattr(array, "iloc") else array
        dtype = getattr(few, "dtype", None)
        if getattr(dtype, "kind", "") in ("U", "S", "O"):
            how = ". Number the classes: `y = np.unique(y, return_inverse=True)[1]`" if name == "y" else ""
            raise ValueError(f"Argument `{name}` must be numbers. Received: {name} of dtype {dtype}{how}")


def check_input_numbers(x: Any) -> None:
    """As `check_numbers`, but for strings in an array of objects: TensorFlow has layers that take them."""
    for array in keras.tree.flatten(x):
        if not (isinstance(array, np.ndarray) and array.dtype.kind == "O" and isinstance(array.flat[0], (str, bytes))):
            check_numbers("x", array)


def count_not_finite(part: Any) -> tuple[int, int]:
    """Samples with a NaN or an infinity in any of the arrays, and samples in all; (0, 0) of what is no arrays."""
    # What is ragged or sparse is left out.
    found = [attempt(functools.partial(host_array, a))[0] for a in keras.tree.flatten(part)] if are_arrays(part) else []
    arrays = [array for array in found if array is not None and array.size and array.dtype.kind in "biuf"]
    rows = [bad_rows(array) for array in arrays if array.ndim and len(array) == len(arrays[0])]
    return int(np.logical_or.reduce(rows).sum()) if rows else 0, len(rows[0]) if rows else 0


def host_array(array: Any) -> np.ndarray:
    """Of an array, a tensor of any backend, or a pandas object."""
    return np.asarray(array.to_numpy()) if hasattr(array, "iloc") else to_numpy(array)


def first_batch(x: Any, y: Any) -> tuple[Any, Any, Any]:
    """The inputs and labels of a first batch, None for labels that are not there, and the data to go on with.

    Args:
        x: As for `fit`: arrays (also in lists and dicts), a `tf.data.Dataset`, a `PyDataset`, a torch `DataLoader`, or
            a generator, whose first batch is put back in front.
        y: Labels of arrays, all of which are returned.

    Raises:
        ValueError: If there is no batch.
    """
    if are_arrays(x):
        return keras.tree.map_structure(lambda array: array[:1], x), y, x
    is_indexed = isinstance(x, keras.utils.PyDataset)
    absent = object()
    batch = (x[0] if x.num_batches != 0 else absent) if is_indexed else next(iter(x), absent)
    if batch is absent:
        raise ValueError("Argument `x` must give at least one batch. Received: no batch")
    data = _put_back(batch, x) if isinstance(x, Iterator) else x
    if not isinstance(batch, (tuple, list)) or not batch:
        return _host(batch), None, data
    return _host(batch[0]), _host(batch[1]) if len(batch) > 1 else None, data


def are_arrays(x: Any) -> bool:
    """Whether `x` is made of arrays that can be sliced (numpy, tensors, pandas), also in lists and dicts."""
    return isinstance(x, (list, tuple, dict)) or hasattr(x, "shape") or hasattr(x, "iloc")


def _put_back(batch: Any, rest: Iterator[Any]) -> Generator[Any, None, None]:
    # Keras knows a generator by its type: `itertools.chain` would not do.
    yield batch
    yield from rest


def _host(structure: Any) -> Any:
    # A torch DataLoader hands out torch tensors on every backend.
    return keras.tree.map_structure(lambda a: a.numpy() if hasattr(a, "numpy") else a, structure)
