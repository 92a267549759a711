"""A few samples that stand for the data, and what guessing reaches on all of their labels."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_clr._errors import attempt
from keras_clr._finite import bad_rows
from keras_clr._keras.baseline import average
from keras_clr._keras.tensors import Batch, to_numpy
from keras_clr.finder.data import check_rows
from keras_clr.stuck.chance import Chance, chance_level, class_indices, spread_over_classes
from keras_clr.stuck.checks.data import count_non_finite

# Samples that are kept, and samples that go through the model at once.
PROBE_SIZE = 256
_LARGEST_BATCH = 32


@dataclass(frozen=True)
class Target:
    """What is asked of one output.

    Attributes:
        chance: What guessing reaches, from all labels given.
        labels: Labels of the samples that were kept, shape (n, ...).
        classes: Class number of each of them (of each entry, in order, if a sample has several); None if a sample is
            not of one class.
        weights: Weight of each sample, to undo that they are spread over the classes.
        misread_by: Names and thresholds of the metrics that do not mean what they say for this output and these labels.
    """

    chance: Chance
    labels: np.ndarray
    classes: np.ndarray | None
    weights: np.ndarray
    misread_by: frozenset[tuple[str, float]] = frozenset()

    def mean(self, values: np.ndarray) -> float:
        """Mean over the data of a value for each sample, shape (n,), or for each entry of it."""
        return float(average(values, self.weights))

    def accuracy(self, outputs: np.ndarray, threshold: float, top_k: int = 1) -> float:
        """Share of right answers.

        Args:
            outputs: Model outputs, shape (n, ..., k).
            threshold: Above it, the answer of a single unit is 1.
            top_k: An answer is right if it is among so many.
        """
        rows = outputs.reshape(-1, outputs.shape[-1])
        if self.classes is None:
            right: np.ndarray = ((rows > threshold) == self.labels.reshape(rows.shape)).mean(axis=1)
        elif rows.shape[1] == 1:
            right = (rows[:, 0] > threshold) == self.classes
        elif top_k == 1:
            right = rows.argmax(axis=1) == self.classes
        else:
            right = (rows > rows[np.arange(len(rows)), self.classes, None]).sum(axis=1) < top_k
        return self.mean(right)


class Probe:
    """Samples that stand for the data: where the gradient is looked at.

    Args:
        x: Inputs as for `fit`: an array, or a list or dict of arrays.
        y: Labels: an array, or a list or dict of arrays, one for each output.
        who: What errors call the two: the arguments of whoever was given them.

    Attributes:
        first_guess: Chance level of the labels, as far as they tell by themselves; None for several outputs.
        problem: Why the labels have no chance level, or None.
        num_labels: How many labels were given.
        in_class_order: Whether each class came in one go.
        classes_in_order: Class number of every label, as they came; None if samples are not of one class.
        inputs: Mean and spread of the inputs, where they are one array of numbers.
        non_finite: For each input, by its key or its number, samples with a NaN or an infinity, and samples looked at.
        bad_inputs: Of each input a sample with a NaN or an infinity, if it has one; None if none has.

    Raises:
        ValueError: If there are not as many inputs as labels.
    """

    def __init__(self, x: Any, y: Any, who: str = "Arguments `x` and `y`") -> None:
        self._who = who
        labels = keras.tree.map_structure(to_numpy, y if isinstance(y, dict) or _are_several(y) else _the_array(y))
        first = keras.tree.flatten(labels)[0]
        arrays = keras.tree.map_structure(to_numpy, x)
        check_rows(who, x=arrays, y=labels)
        chances = [attempt(functools.partial(chance_level, array)) for array in keras.tree.flatten(labels)]
        self.first_guess = chances[0][0] if len(chances) == 1 else None
        self.problem = next((error for _, error in chances if error), None)
        if self.first_guess is not None and self.first_guess.accuracy == 1.0:
            self.problem = f"{len(first)} labels, all of one class"
        self._labels = labels
        self.num_labels = len(first)
        self.in_class_order = False
        self.classes_in_order: np.ndarray | None = None
        guide = self.first_guess
        by_class = guide is not None and guide.kind in ("binary", "sparse", "one-hot", "probabilities")
        classes = class_indices(first) if by_class else None
        if classes is None or len(classes) != len(first):
            self._kept = np.random.default_rng(0).permutation(len(first))[:PROBE_SIZE]
            self._weights = np.ones(len(self._kept))
        else:
            self._kept = spread_over_classes(classes, PROBE_SIZE)
            self.classes_in_order = classes
            self.in_class_order = bool((np.diff(classes) != 0).sum() < len(np.unique(classes)))
            kept = classes[self._kept]
            counts = dict(zip(*np.unique(classes, return_counts=True), strict=True))
            kept_counts = dict(zip(*np.unique(kept, return_counts=True), strict=True))
            self._weights = np.array([counts[c] / kept_counts[c] for c in kept])
        named = _by_name(arrays)
        self.non_finite = {name: count_non_finite(array) for name, array in named.items()}
        bad = [np.flatnonzero(bad_rows(named[name]))[:1] for name, (num_bad, _) in self.non_finite.items() if num_bad]
        rows = np.concatenate([*bad, np.zeros(0, int)])[:_LARGEST_BATCH]
        self.bad_inputs = keras.tree.map_structure(lambda array: _in_floatx(array[rows]), arrays) if len(rows) else None
        self._x = keras.tree.map_structure(lambda array: _in_floatx(array[self._kept]), arrays)
        self._y = keras.tree.map_structure(lambda array: _in_floatx(array[self._kept]), labels)
        self.inputs: tuple[float, float] | None = None
        if isinstance(self._x, np.ndarray) and self._x.dtype.kind in "biuf" and len(self._x):
            some = self._x[:_LARGEST_BATCH]
            self.inputs = float(some.mean(dtype="float64")), float(some.std(dtype="float64"))
        # A weight of its own for each sample: gradients of two samples that cancel must not look like none.
        self._sample_weight = np.random.default_rng(0).uniform(0.5, 1.5, len(self._kept)).astype("float32")

    @classmethod
    def from_argument(cls, probe_data: Any) -> Probe | None:
        """The probe, or None without `probe_data`."""
        if probe_data is None:
            return None
        if not isinstance(probe_data, (tuple, list)) or len(probe_data) != 2:
            raise TypeError(
                "Argument `probe_data` must be a tuple (x, y) of inputs and labels. "
                f"Received: {type(probe_data).__name__}"
            )
        probe = cls(probe_data[0], probe_data[1], "Argument `probe_data`")
        if probe.problem is not None:
            raise ValueError(
                "Argument `probe_data` must have labels that are numbers, of at least two classes, in the shares of "
                f"the training data. Received: {probe.problem}"
            )
        return probe

    def __len__(self) -> int:
        return len(self._kept)

    def inputs_by_name(self) -> dict[str, np.ndarray]:
        """Each input of the samples that were kept, by its key or its number."""
        return _by_name(self._x)

    def first_sample(self) -> Any:
        """Inputs of one sample, to build a model on."""
        return keras.tree.map_structure(lambda array: array[:1], self._x)

    def labels(self, output_names: Sequence[str], kept: bool = True) -> list[np.ndarray]:
        """Labels of each output, of the samples that were kept or of all.

        Raises:
            ValueError: If there are not as many arrays of labels as outputs.
        """
        structure = self._y if kept else self._labels
        named = isinstance(structure, dict) and set(structure) == set(output_names)
        arrays = [structure[n] for n in output_names] if named else keras.tree.flatten(structure)
        if len(arrays) != len(output_names):
            raise ValueError(
                f"{self._who} must have labels for each output. Received: labels for {len(arrays)} outputs, the model "
                f"has {len(output_names)}"
            )
        return arrays

    def targets(self, output_names: Sequence[str], tasks: Sequence[str | None]) -> list[Target]:
        """What is asked of each output of a model.

        Args:
            output_names: Names of the model's outputs, in order.
            tasks: Of each, what `chance_level` calls its task; None to tell from the labels.

        Raises:
            ValueError: If there are not as many arrays of labels as outputs, or labels are not those of the task.
        """
        parts = self.labels(output_names, kept=False), self.labels(output_names)
        targets = []
        for everything, kept, task in zip(*parts, tasks, strict=True):
            chance = chance_level(everything, task)
            if chance.accuracy == 1.0:
                raise ValueError("all labels of an output are the same")
            single = chance.kind not in ("multi-label", "regression")
            targets.append(Target(chance, kept, class_indices(kept) if single else None, self._weights))
        return targets

    def batches(self, model: Any, batch_size: int | None) -> list[Batch]:
        """All samples in batches of one size: no more memory than a training batch, and one compilation."""
        fixed = keras.tree.flatten(getattr(model, "inputs", None) or [None])[0]
        size = getattr(fixed, "shape", (None,))[0] or min(batch_size or _LARGEST_BATCH, _LARGEST_BATCH, len(self))
        batches = []
        for start in range(0, len(self), size):
            rows: Any = slice(start, start + size)
            if start + size > len(self):
                # Filled up with samples from the start.
                rows = np.arange(start, start + size) % len(self)
            x, y = (keras.tree.map_structure(lambda array, rows=rows: array[rows], part) for part in (self._x, self._y))
            batches.append((x, y, self._sample_weight[rows]))
        return batches


def _by_name(x: Any) -> dict[str, np.ndarray]:
    return dict(x) if isinstance(x, dict) else {f"input {i}": array for i, array in enumerate(keras.tree.flatten(x))}


def _are_several(y: Any) -> bool:
    """Whether this is a list of arrays, one for each output, and not a list of labels."""
    return isinstance(y, (list, tuple)) and len(y) > 1 and any(getattr(part, "shape", ()) for part in y)


def _the_array(y: Any) -> Any:
    """The only array in a list of one."""
    return np.asarray(y[0] if isinstance(y, (list, tuple)) and len(y) == 1 and np.ndim(y[0]) > 0 else y)


def _in_floatx(array: np.ndarray) -> np.ndarray:
    """As `fit` feeds arrays: floats in Keras' default precision, all else as it is."""
    return array.astype(keras.config.floatx()) if array.dtype.kind == "f" else array
