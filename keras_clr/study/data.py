"""The training data of a study: checked, as numpy arrays, and ready to be sent to a worker."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_clr._keras.tensors import to_numpy
from keras_clr._samples import first_samples
from keras_clr.finder.data import are_arrays

_BATCH_SIZE = 32  # As in `fit`.
_PROBE_SIZE = 256  # Samples for the detector, of data that is no array.


@dataclass(frozen=True)
class _Place:
    """Where an array was."""

    index: int


@dataclass(frozen=True, eq=False)
class StudyData:
    """What each run trains on. Arrays may be in lists and dicts, as for `fit`.

    Attributes:
        training: (x, y) or (x, y, sample_weight); None with `make`.
        validation: What `fit` gets as `validation_data`.
        make: Makes the data from the seed of the order; None with arrays.
        batch_size: Samples in a batch of arrays.
        shuffle: Whether arrays come in a new order each epoch.
    """

    training: tuple[Any, ...] | None
    validation: Any
    make: Callable[[int], Any] | None = None
    batch_size: int = _BATCH_SIZE
    shuffle: bool = True

    @classmethod
    def from_arguments(cls, x: Any, y: Any, vary: str, fit_arguments: dict[str, Any]) -> StudyData:
        """Checks the data; takes out of `fit_arguments` what belongs to them.

        Raises:
            ValueError: If the data do not fit together, or `vary` asks for an order that an argument forbids.
            TypeError: If `x` is data whose order cannot be set.
        """
        validation = fit_arguments.pop("validation_data", None)
        if isinstance(validation, (tuple, list)):
            validation = tuple(_numpy(part) for part in validation)
            _check_lengths("validation_data", validation)
        if callable(x):
            if y is not None:
                raise ValueError("Argument `y` must be left out where `x` is a function: its data bring the labels.")
            _refuse(fit_arguments, ("batch_size", "validation_split", "sample_weight"), "where `x` is a function")
            return cls(None, validation, make=x)
        _refuse(fit_arguments, ("steps_per_epoch",), "with arrays: each epoch sees every sample once")
        if not are_arrays(x):
            raise TypeError(
                "Argument `x` must be arrays, which are shuffled here, or a function that takes the seed of an order "
                f"and returns data for `fit`. Received: {type(x).__name__}, whose order a study cannot set."
            )
        first = first_samples(x, y, _PROBE_SIZE)
        training: tuple[Any, ...] = (first.inputs, first.labels)
        weight = fit_arguments.pop("sample_weight", None)
        if weight is not None:
            training = (*training, _numpy(weight))
        num_samples = _check_lengths("x` and `y", training)
        split = fit_arguments.pop("validation_split", None) or 0.0
        if split and validation is None:
            # The last samples, as in `fit`.
            start = math.floor(num_samples * (1 - split))
            if not 0 < start < num_samples:
                raise ValueError(
                    f"Argument `validation_split` must leave samples on both sides. Received: "
                    f"validation_split={split!r} with {num_samples} samples"
                )
            validation = tuple(_rows(part, slice(start, None)) for part in training)
            training = tuple(_rows(part, slice(start)) for part in training)
        batch_size = fit_arguments.pop("batch_size", None) or _BATCH_SIZE
        if isinstance(validation, tuple):
            fit_arguments.setdefault("validation_batch_size", batch_size)
        shuffle = fit_arguments.pop("shuffle", True)
        if not isinstance(shuffle, bool):
            raise ValueError(f"Argument `shuffle` must be True or False. Received: shuffle={shuffle!r}")
        if not shuffle and vary != "init":
            raise ValueError(f"shuffle=False and vary={vary!r} contradict each other. Use vary='init'.")
        return cls(training, validation, batch_size=batch_size, shuffle=shuffle)

    def probe_data(self, order_seed: int) -> tuple[Any, Any]:
        """Inputs and labels for the detector: all there are, or the first ones of made data."""
        if self.training is not None:
            return self.training[0], self.training[1]
        first = first_samples(self.for_fit(order_seed), None, _PROBE_SIZE)
        return first.inputs, first.labels

    def for_fit(self, order_seed: int) -> Any:
        """What `fit` gets as `x`: batches in the order that the seed says."""
        if self.training is None:
            return self.make(order_seed) if self.make else None
        return OrderedBatches(self.training, self.batch_size, order_seed if self.shuffle else None)

    def detach(self) -> tuple[StudyData, list[np.ndarray]]:
        """The same with numbered places instead of arrays, and the arrays."""
        arrays: list[np.ndarray] = []

        def take(leaf: Any) -> Any:
            if not isinstance(leaf, np.ndarray):
                return leaf
            arrays.append(leaf)
            return _Place(len(arrays) - 1)

        training, validation = keras.tree.map_structure(take, (self.training, self.validation))
        return replace(self, training=training, validation=validation), arrays

    def attach(self, arrays: Sequence[np.ndarray]) -> StudyData:
        """The inverse of `detach`."""
        training, validation = keras.tree.map_structure(
            lambda leaf: np.asarray(arrays[leaf.index]) if isinstance(leaf, _Place) else leaf,
            (self.training, self.validation),
        )
        return replace(self, training=training, validation=validation)

    def fingerprint(self) -> str:
        """Another one for other arrays; a function is known by its name only."""
        digest = hashlib.sha256(f"{self.batch_size} {self.shuffle} {getattr(self.make, '__name__', None)}".encode())
        for array in self.detach()[1]:
            digest.update(f"{array.dtype} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


class OrderedBatches(keras.utils.PyDataset):
    """The batches of arrays, in an order that depends on nothing but a seed and the number of the epoch.

    `fit(x, y, shuffle=True)` draws the order from a generator of the backend, in another way on each.

    Args:
        parts: (x, y) or (x, y, sample_weight).
        batch_size: Samples in a batch; the last one of an epoch may be smaller.
        order_seed: Of the order; None to leave it as it is.
    """

    def __init__(self, parts: tuple[Any, ...], batch_size: int, order_seed: int | None) -> None:
        super().__init__()
        self._parts = keras.tree.map_structure(_in_floatx, parts)
        self._num_samples = len(keras.tree.flatten(parts)[0])
        self._batch_size, self._order_seed = batch_size, order_seed
        self.begin_epoch(0)

    def begin_epoch(self, epoch: int) -> None:
        """Draws the order of an epoch. Told by a callback: the hooks of a data set are called more than once."""
        self._order = np.arange(self._num_samples)
        if self._order_seed is not None:
            self._order = np.random.default_rng((self._order_seed, epoch)).permutation(self._num_samples)

    def __len__(self) -> int:
        return math.ceil(self._num_samples / self._batch_size)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        return tuple(_rows(part, rows) for part in self._parts)


def _refuse(fit_arguments: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    for name in names:
        if fit_arguments.get(name) is not None:
            raise ValueError(f"Argument `{name}` has no meaning {where}. Received: {name}={fit_arguments[name]!r:.100}")


def _numpy(structure: Any) -> Any:
    return keras.tree.map_structure(lambda part: to_numpy(getattr(part, "values", part)), structure)


def _rows(structure: Any, rows: Any) -> Any:
    return keras.tree.map_structure(lambda array: array[rows], structure)


def _in_floatx(array: np.ndarray) -> np.ndarray:
    """As `fit` feeds arrays."""
    return array.astype(keras.config.floatx(), copy=False) if array.dtype.kind == "f" else array


def _check_lengths(name: str, parts: tuple[Any, ...]) -> int:
    shapes = [np.shape(array) for array in keras.tree.flatten(parts) if array is not None]
    if len({shape[:1] for shape in shapes}) != 1 or not shapes[0] or shapes[0][0] == 0:
        raise ValueError(
            f"Argument `{name}` must have the same number of samples, at least one. Received: shapes "
            + ", ".join(map(str, shapes))
        )
    return int(shapes[0][0])
