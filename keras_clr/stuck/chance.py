"""What guessing reaches on given labels. Pure numpy."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

TASKS = ("classes", "multi-label", "regression")


@dataclass(frozen=True)
class Chance:
    """What a predictor reaches that does not look at its input.

    Attributes:
        kind: What the labels are: "binary" (0/1), "sparse" (class numbers), "one-hot", "probabilities" (rows that sum
            to 1), "multi-label" (columns of 0/1), or "regression".
        num_samples: Number of labels seen.
        shares: Share of each class that occurs, in the order of the classes; share of 1 in each column of
            "multi-label"; empty for "regression".
        accuracy: Largest share of one class: the accuracy of always answering that class. It is not 1 / units: three
            units on two balanced classes freeze at 1/2. For "multi-label" the mean over the columns of the larger
            share, as `BinaryAccuracy` counts. None for "regression".
        cross_entropy: Entropy of the shares in nats: the cross-entropy loss of answering the shares, whatever the
            input. Balanced: 0.693 for 2 classes, 2.303 for 10. For "multi-label" the mean over the columns. None for
            "regression".
        variance: For "regression", the mean squared error of answering the mean (mean over the columns): R^2 is 0
            there. Else None.
        deviation: For "regression", the mean absolute error of answering the median. Else None.
    """

    kind: str
    num_samples: int
    shares: tuple[float, ...] = ()
    accuracy: float | None = None
    cross_entropy: float | None = None
    variance: float | None = None
    deviation: float | None = None

    def top_k(self, k: int) -> float:
        """Top-k accuracy of always answering the k commonest classes."""
        return float(sum(sorted(self.shares)[-k:]))

    @property
    def lowest(self) -> float | None:
        """Accuracy of the worst answer that is the same for all samples and a label of some."""
        if self.kind == "multi-label" and self.accuracy is not None:
            return 1.0 - self.accuracy
        return min(self.shares, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON."""
        return {**asdict(self), "shares": list(self.shares)}


def chance_level(y: Any, task: str | None = None) -> Chance:
    """What guessing reaches on these labels.

    Args:
        y: Labels: class numbers or booleans of shape `(n,)` or `(n, 1)`, one-hot or probability rows of shape
            `(n, k)`, columns of 0/1 of shape `(n, k)`, or values. With further axes in between (sequences, images),
            each entry counts as a sample.
        task: "classes", "multi-label" or "regression"; None to tell from the labels: rows that sum to 1 are classes,
            other columns of 0/1 are multi-label, whole numbers >= 0 are classes, all else is a regression.

    Returns:
        The `Chance` of these labels. With probability rows, a sample counts for its likeliest class in `accuracy`, as
        `CategoricalAccuracy` counts it.

    Raises:
        ValueError: If there are no labels, they are not finite numbers, or not those of the `task`.

    Example:
        >>> chance_level([0, 0, 0, 1]).accuracy
        0.75
        >>> round(chance_level([[1, 0, 0], [0, 1, 0]]).cross_entropy, 4)
        0.6931
        >>> chance_level([0.5, 1.5]).variance
        0.25
    """
    values, seen = _numbers(y)
    task = task or guess_task(values)
    if task == "regression":
        columns = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
        variance = columns.var(axis=0).mean()
        deviation = np.abs(columns - np.median(columns, axis=0)).mean()
        return Chance("regression", len(columns), variance=float(variance), deviation=float(deviation))
    if values.min() < 0:
        raise ValueError(f"Labels of classes must not be negative. {seen}, smallest {values.min():g}")
    if task == "multi-label":
        columns = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
        if values.max() > 1:
            raise ValueError(f"Labels of several columns must be 0 or 1. {seen}, largest {values.max():g}")
        ones = columns.mean(axis=0)
        both = np.stack([ones, 1.0 - ones])
        return Chance(
            "multi-label",
            len(columns),
            shares=tuple(float(share) for share in ones),
            accuracy=float(both.max(axis=0).mean()),
            cross_entropy=float(_entropies(both).mean()),
        )
    kind, classes, rows = _classes(values, seen)
    counts = np.unique(classes, return_counts=True)[1]
    means = counts / counts.sum() if rows is None else rows.mean(axis=0) / rows.mean(axis=0).sum()
    shares = means[means > 0]
    return Chance(
        kind,
        len(classes),
        shares=tuple(float(share) for share in shares),
        accuracy=float(counts.max() / counts.sum()),
        cross_entropy=float(_entropies(shares)),
    )


def class_indices(y: Any) -> np.ndarray:
    """Class number of every sample; raises as `chance_level` does with "classes"."""
    values, seen = _numbers(y)
    return _classes(values, seen)[1]


def guess_task(y: np.ndarray) -> str:
    """What labels look like when nothing else is known: one of `TASKS`."""
    if (y < 0).any():
        return "regression"
    if y.ndim > 1 and y.shape[-1] > 1:
        if np.allclose(y.sum(axis=-1), 1.0, atol=1e-3):
            return "classes"
        return "multi-label" if np.isin(y, (0.0, 1.0)).all() else "regression"
    return "regression" if (y != np.floor(y)).any() else "classes"


def _numbers(y: Any) -> tuple[np.ndarray, str]:
    """The labels as float64, and how to name them in an error."""
    labels = np.asarray(y)
    seen = f"Received: labels of shape {labels.shape} and dtype {labels.dtype}"
    if labels.dtype.kind not in "biuf":
        raise ValueError(f"Labels must be numbers or booleans. {seen}")
    if labels.ndim == 0 or labels.size == 0:
        raise ValueError(f"Labels must be non-empty, one for each sample. {seen}")
    values = labels.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"Labels must be finite. {seen}, with NaN or infinity in it")
    return values, seen


def _classes(values: np.ndarray, seen: str) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Kind of the labels, class number per sample, and the rows if the labels are rows."""
    if values.ndim > 1 and values.shape[-1] > 1 and np.allclose(values.sum(axis=-1), 1.0, atol=1e-3):
        rows = values.reshape(-1, values.shape[-1])
        kind = "one-hot" if np.isin(rows, (0.0, 1.0)).all() else "probabilities"
        return kind, rows.argmax(axis=1), rows
    if (values != np.floor(values)).any() or values.min() < 0:
        raise ValueError(f"Labels of classes must be whole numbers >= 0, or rows that sum to 1. {seen}")
    values = values.reshape(-1)
    return ("binary" if values.max() <= 1 else "sparse"), values.astype(np.int64), None


def _entropies(shares: np.ndarray) -> np.ndarray:
    """Entropy in nats along the first axis."""
    logarithms = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    # abs: one class only would give -0.0.
    entropies: np.ndarray = np.abs((shares * logarithms).sum(axis=0))
    return entropies


def spread_over_classes(classes: np.ndarray, size: int) -> np.ndarray:
    """Indices of at most `size` samples: one of each class in turn, so that any run of them is mixed.

    The choice is random within a class, always the same one for the same labels.
    """
    shuffled = np.random.default_rng(0).permutation(len(classes))
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    ordered = classes[by_class]
    first_of_class = np.searchsorted(ordered, ordered)
    turn = np.arange(len(classes)) - first_of_class
    return by_class[np.lexsort((ordered, turn))[:size]]
