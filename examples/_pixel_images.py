"""The images of `pixel_colour.py`, made when asked for, and their batches in the order that a row asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

COLOURS = np.array([[255, 0, 0], [0, 255, 0]], np.uint8)
BACKGROUNDS = {"grey": 128, "white": 255, "black": 0, "noise": None}


class PixelImages:
    """Images with one coloured pixel at a random place, as many red as green; made when asked for, as uint8."""

    def __init__(self, count: int, size: int, background: str, seed: Sequence[int]) -> None:
        self.size, self.background, self.seed = size, background, tuple(seed)
        rng = np.random.default_rng(self.seed)
        self.labels = rng.permutation(np.arange(count) % 2)
        self.rows, self.columns = rng.integers(0, size, (2, count))

    def __len__(self) -> int:
        return len(self.labels)

    def balanced(self, count: int) -> np.ndarray:
        """Indices of the first `count` images, as many of one class as of the other."""
        half = [np.flatnonzero(self.labels == label)[: count // 2] for label in (0, 1)]
        return np.sort(np.concatenate(half))

    def take(self, indices: Any, units: int = 3) -> tuple[np.ndarray, np.ndarray]:
        """Images (n, size, size, 3) and their one-hot targets (n, units), which has three columns in the question."""
        indices = np.arange(len(self))[indices]
        shape = (len(indices), self.size, self.size, 3)
        level = BACKGROUNDS[self.background]
        if level is None:
            # Shades of grey: the one coloured pixel stays the only one.
            shades = [np.random.default_rng((*self.seed, i)).integers(0, 256, (*shape[1:3], 1)) for i in indices]
            pixels = np.broadcast_to(np.array(shades, np.uint8), shape).copy()
        else:
            pixels = np.full(shape, level, np.uint8)
        labels = self.labels[indices]
        pixels[np.arange(len(indices)), self.rows[indices], self.columns[indices]] = COLOURS[labels]
        return pixels, np.eye(units, dtype=np.float32)[labels]


class Batches(keras.utils.PyDataset):
    """The batches of an epoch, in an order that depends on nothing but a seed; without one, as the images are.

    What `fit(x, y, shuffle=True)` does, with two differences: the order is the same on every backend, and the images
    need not be in memory all at once.

    Args:
        images: What to take them from.
        batch_size: Images in a batch.
        units: Columns of the targets; one for each class, and 0 in any others.
        order_seed: Of the order.
        order: "shuffled", anew each epoch; or the same in every epoch, as `shuffle=False` leaves it: "by class", all of
            one class and then all of the other, or "interleaved", one of each in turn.
    """

    def __init__(
        self,
        images: PixelImages,
        batch_size: int,
        units: int,
        order_seed: Sequence[int] | None = None,
        order: str = "shuffled",
    ) -> None:
        super().__init__()
        self._images, self._batch_size, self._units = images, batch_size, units
        self._order = np.arange(len(images))
        self._rng = None if order_seed is None else np.random.default_rng(tuple(order_seed))
        if self._rng is not None:
            self._order = self._rng.permutation(len(images))
        if order != "shuffled":
            self._rng = None
            of_each = [self._order[images.labels[self._order] == label] for label in (0, 1)]
            self._order = np.stack(of_each, axis=1 if order == "interleaved" else 0).ravel()

    def __len__(self) -> int:
        return math.ceil(len(self._images) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        start = index * self._batch_size
        return self._images.take(self._order[start : start + self._batch_size], self._units)

    def on_epoch_end(self) -> None:
        """Draws the next epoch's order."""
        if self._rng is not None:
            self._order = self._rng.permutation(len(self._images))
