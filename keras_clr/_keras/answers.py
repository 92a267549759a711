"""What the rows of a model's output say about samples of one class each. Pure numpy."""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np

from keras_clr._keras.tensors import Batch


def clipped_samples(
    rows: np.ndarray | None, batches: Sequence[Batch], kind: str | None
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Which samples have a true-class probability below the clip, and above 1 - the clip."""
    classes = class_numbers(batches, rows)
    if rows is None or classes is None or kind is None:
        return None, None
    if rows.shape[1] == 1:
        probabilities = np.where(classes == 1, rows[:, 0], 1.0 - rows[:, 0])
    else:
        with np.errstate(all="ignore"):
            probabilities = rows[np.arange(len(rows)), classes] / rows.sum(axis=1)
    epsilon = keras.config.epsilon()
    # Keras compares in the precision of the output: 1 - 1e-7 is 1 - 1.19e-7 in float32.
    return probabilities < np.float32(epsilon), probabilities > np.float32(1.0 - epsilon)


def class_numbers(batches: Sequence[Batch], rows: np.ndarray | None) -> np.ndarray | None:
    """Class number of each sample, if there is one for each row of the output."""
    labels = [y for _, y, _ in batches]
    if rows is None or any(keras.tree.is_nested(y) for y in labels):
        return None
    y = np.concatenate([np.asarray(part) for part in labels])
    if y.ndim == 2 and y.shape[1] == rows.shape[1] > 1:
        one_hot = np.isclose(y.sum(axis=1, dtype=np.float64), 1.0, atol=1e-3).all() and (y >= 0).all()
        return y.argmax(axis=1) if one_hot else None
    y = y.reshape(len(y), -1)
    if y.shape[1] != 1 or len(y) != len(rows) or not np.isfinite(y).all() or (y != np.floor(y)).any():
        return None
    largest = max(rows.shape[1] - 1, 1)
    return y[:, 0].astype(np.int64) if y.min() >= 0 and y.max() <= largest else None


def accuracy_of(rows: np.ndarray | None, batches: Sequence[Batch], kind: str | None) -> float | None:
    """Share of right answers; None if that cannot be told."""
    classes = class_numbers(batches, rows)
    # The threshold of one unit is known for probabilities only.
    if rows is None or classes is None or (rows.shape[1] == 1 and kind is None):
        return None
    answers = rows[:, 0] > 0.5 if rows.shape[1] == 1 else rows.argmax(axis=1)
    return float(np.mean(answers == classes))


def relative_difference(training: np.ndarray | None, inference: np.ndarray | None) -> float | None:
    """Distance of the rows in the two modes, by the size of those in inference mode."""
    if training is None or inference is None:
        return None
    size = float(np.linalg.norm(inference))
    distance = float(np.linalg.norm(training - inference))
    return distance / size if size else (0.0 if distance == 0.0 else math.inf)


def wrong_way_share(rows: np.ndarray | None, batches: Sequence[Batch], slopes: Sequence[np.ndarray]) -> float | None:
    """Share of samples for which the loss falls if the answer of the true class falls.

    Args:
        rows: The outputs, (n, units).
        batches: With the labels.
        slopes: Slope of the loss in the outputs, batch by batch.

    Returns:
        The share; None if there is not one class per sample, or most samples have no slope.
    """
    classes = class_numbers(batches, rows)
    if rows is None or classes is None or sum(len(part) for part in slopes) != len(rows):
        return None
    slope = np.concatenate([part.reshape(len(part), -1) for part in slopes])
    if slope.shape != rows.shape:
        return None
    along = (
        np.where(classes == 1, 1.0, -1.0) * slope[:, 0] if rows.shape[1] == 1 else slope[np.arange(len(rows)), classes]
    )
    moving = along[along != 0.0]
    return float((moving > 0.0).mean()) if 2 * len(moving) > len(rows) else None
