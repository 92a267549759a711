"""One file per kind of evidence: each turns what was measured into `Finding`s. Here: what is measured, and on what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_clr._keras.gradients import Batch, GradientReading, to_numpy
from keras_clr._keras.readings import EpochReading
from keras_clr.stuck.chance import Chance, chance_level, class_indices, spread_over_classes

# Samples that are kept, and samples that go through the model at once.
PROBE_SIZE = 256
_LARGEST_BATCH = 32
# Accuracies that count samples, for each kind of labels. Others count entries of the label rows.
_COUNTING = {
    "binary": ("binary", "sparse", "exact"),
    "sparse": ("sparse", "exact"),
    "one-hot": ("categorical",),
    "probabilities": ("categorical",),
}


@dataclass(frozen=True)
class Reach:
    """How far apart the logits lie, and how far one step can move them.

    Attributes:
        spread: Median over the samples of largest minus smallest logit (one unit: distance from 0).
        step: What one Adam step at the present rate can move a logit by, median over the samples:
            rate x (sum of |features| + 1); None for another optimizer.
        rate: The present learning rate.
    """

    spread: float
    step: float | None
    rate: float


@dataclass(frozen=True)
class Standstill:
    """What was measured on a run whose weights cannot move.

    Attributes:
        gradient: The last look at the gradient.
        num_samples: Probe samples.
        num_checks: Epoch ends in a row at which it was 0.
        accuracy: Training accuracy of the epoch, or None.
        loss: Training loss of the epoch, or None.
        loss_kind: "categorical", "sparse" or "binary" if the loss is a plain cross-entropy of
            probabilities, else None.
        clipped: Probe samples whose true-class probability is clipped at 0, and at 1.
        units: Units of the output.
        rate: Learning rate at the end of the epoch.
        reach: Logits, where the model allows to see them.
        inputs: Mean and spread of the probe inputs, where they are one array of numbers.
    """

    gradient: GradientReading
    num_samples: int
    num_checks: int
    accuracy: float | None
    loss: float | None
    loss_kind: str | None
    clipped: tuple[int, int]
    units: int
    rate: float
    reach: Reach | None = None
    inputs: tuple[float, float] | None = None


class Probe:
    """A few samples that stand for the data: where the gradient is looked at.

    Attributes:
        chance: Chance level of all labels given.
        classes: Class number of each sample that was kept.
        class_weights: Weight of each of them, to undo that they are spread over the classes.
        inputs: Mean and spread of the inputs, where they are one array of numbers.
    """

    def __init__(self, x: Any, y: Any) -> None:
        labels = to_numpy(y)
        try:
            self.chance = chance_level(labels)
        except ValueError as error:
            raise ValueError(f"Argument `probe_data` has labels that cannot be used. {error}") from error
        if len(self.chance.shares) < 2:
            raise ValueError(
                "Argument `probe_data` must have labels of at least two classes, in the shares of the training data. "
                f"Received: {len(labels)} labels, all of one class"
            )
        arrays = keras.tree.map_structure(to_numpy, x)
        for array in keras.tree.flatten(arrays):
            if array.ndim == 0 or len(array) != len(labels):
                raise ValueError(
                    "Argument `probe_data` must have as many inputs as labels. "
                    f"Received: inputs of shape {array.shape}, {len(labels)} labels"
                )
        classes = class_indices(labels)
        kept = spread_over_classes(classes, PROBE_SIZE)
        self._x = keras.tree.map_structure(lambda array: _in_floatx(array[kept]), arrays)
        self._y = _in_floatx(labels[kept])
        self.classes = classes[kept]
        counts = dict(zip(*np.unique(classes, return_counts=True), strict=True))
        kept_counts = dict(zip(*np.unique(self.classes, return_counts=True), strict=True))
        self.class_weights = np.array([counts[c] / kept_counts[c] for c in self.classes])
        self.inputs: tuple[float, float] | None = None
        if isinstance(self._x, np.ndarray) and self._x.dtype.kind in "biuf":
            some = self._x[:_LARGEST_BATCH]
            self.inputs = float(some.mean(dtype="float64")), float(some.std(dtype="float64"))
        # A weight of its own for each sample: gradients of two samples that cancel must not look like none.
        self._sample_weight = np.random.default_rng(0).uniform(0.5, 1.5, len(kept)).astype("float32")

    @classmethod
    def from_argument(cls, probe_data: Any) -> tuple[Probe | None, str]:
        """The probe, or None and why there is no chance level."""
        if probe_data is None:
            return None, "No `probe_data`: the chance level of the labels cannot be known, so there is no verdict."
        if not isinstance(probe_data, (tuple, list)) or len(probe_data) != 2:
            raise TypeError(
                "Argument `probe_data` must be a tuple (x, y) of inputs and labels. "
                f"Received: {type(probe_data).__name__}"
            )
        x, y = probe_data
        if isinstance(y, (list, tuple)) and len(y) == 1 and np.ndim(y[0]) > 0:
            y = y[0]
        if isinstance(y, dict) or (isinstance(y, (list, tuple)) and any(getattr(part, "shape", ()) for part in y)):
            return None, (
                f"`probe_data` has labels for {len(y)} outputs: each has a chance level of its own, which is not "
                "supported, so there is no verdict."
            )
        return cls(x, y), ""

    def batches(self, model: Any, batch_size: int | None) -> list[Batch]:
        """All samples in batches of one size: no more memory than a training batch, and one compilation."""
        fixed = keras.tree.flatten(getattr(model, "inputs", None) or [None])[0]
        size = getattr(fixed, "shape", (None,))[0] or min(
            batch_size or _LARGEST_BATCH, _LARGEST_BATCH, len(self.classes)
        )
        batches = []
        for start in range(0, len(self.classes), size):
            rows: Any = slice(start, start + size)
            if start + size > len(self.classes):
                # Filled up with samples from the start.
                rows = np.arange(start, start + size) % len(self.classes)
            x = keras.tree.map_structure(lambda array, rows=rows: array[rows], self._x)
            batches.append((x, self._y[rows], self._sample_weight[rows]))
        return batches

    def outputs(self, outputs: Any) -> np.ndarray:
        """Model outputs on `batches` as one row per sample.

        Raises:
            ValueError: If there is not one class per sample in them.
        """
        rows = np.asarray(outputs)
        rows = rows.reshape(-1, 1) if rows.ndim == 1 else rows
        if rows.ndim != 2 or (rows.shape[1] > 1 and self.classes.max() >= rows.shape[1]):
            raise ValueError(
                f"outputs of shape {rows.shape} do not hold one class of {self.classes.max() + 1} per sample"
            )
        if rows.shape[1] == 1 and self.chance.kind != "binary":
            raise ValueError(f"one unit cannot tell {len(self.chance.shares)} classes apart")
        return rows[: len(self.classes)]


def right_answers(
    reading: EpochReading, loss: float | None, chance: Chance | None, notes: list[str]
) -> tuple[float, float, float] | None:
    """Right answers, answers and threshold of the first accuracy that counts samples; says what is not used."""
    same_loss = loss is None or not reading.num_samples or np.isclose(reading.loss, loss, rtol=1e-4, equal_nan=True)
    if not same_loss:
        notes.append("Another callback changed the metrics after training: the epoch's right answers cannot be known.")
        return None
    notes += [
        f"Metric `{name}` is weighted, or belongs to one of several outputs: it does not count right answers."
        for name in reading.unused
    ]
    for name, kind, correct, count, threshold in reading.accuracies:
        if chance is not None and kind not in _COUNTING[chance.kind]:
            notes.append(f"Metric `{name}` does not count samples with {chance.kind} labels: it is not used.")
        elif count != reading.num_samples or not count:
            notes.append(
                f"Metric `{name}` has counted {count:g} answers for {reading.num_samples:g} samples: not used."
            )
        else:
            return min(correct, count), count, threshold
    return None


def _in_floatx(array: np.ndarray) -> np.ndarray:
    """As `fit` feeds arrays: floats in Keras' default precision, all else as it is."""
    return array.astype(keras.config.floatx()) if array.dtype.kind == "f" else array
