"""What guessing reaches on given labels. Pure numpy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Chance:
    """What a predictor reaches that does not look at its input.

    Attributes:
        kind: What the labels are: "binary" (0/1), "sparse" (class numbers), "one-hot", or
            "probabilities" (rows that sum to 1).
        num_samples: Number of labels seen.
        shares: Share of each class that occurs, in the order of the classes.
        accuracy: Largest share of one class: the accuracy of always answering that class. It is
            not 1 / units: three units on two balanced classes freeze at 1/2.
        cross_entropy: Entropy of the shares in nats: the cross-entropy loss of answering the
            shares, whatever the input. Balanced: 0.693 for 2 classes, 2.303 for 10.
    """

    kind: str
    num_samples: int
    shares: tuple[float, ...]
    accuracy: float
    cross_entropy: float

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON."""
        return {
            "kind": self.kind,
            "num_samples": self.num_samples,
            "shares": list(self.shares),
            "accuracy": self.accuracy,
            "cross_entropy": self.cross_entropy,
        }


def chance_level(y: Any) -> Chance:
    """Chance accuracy and cross-entropy of classification labels.

    Args:
        y: Labels: class numbers or booleans of shape `(n,)` or `(n, 1)`, one-hot or probability
            rows of shape `(n, k)`.

    Returns:
        The `Chance` of these labels. With probability rows, a sample counts for its likeliest
        class in `accuracy`, as `CategoricalAccuracy` counts it.

    Raises:
        ValueError: If there are no labels, or they are not finite, negative, not numbers, or not
            those of a classification with one class per sample.

    Example:
        >>> chance_level([0, 0, 0, 1]).accuracy
        0.75
        >>> round(chance_level([[1, 0, 0], [0, 1, 0]]).cross_entropy, 4)
        0.6931
    """
    kind, classes, rows = _read(y)
    counts = np.unique(classes, return_counts=True)[1]
    means = counts / counts.sum() if rows is None else rows.mean(axis=0) / rows.mean(axis=0).sum()
    shares = means[means > 0]
    return Chance(
        kind=kind,
        num_samples=len(classes),
        shares=tuple(float(share) for share in shares),
        accuracy=float(counts.max() / counts.sum()),
        # abs: one class only would give -0.0.
        cross_entropy=abs(float(-(shares * np.log(shares)).sum())),
    )


def class_indices(y: Any) -> np.ndarray:
    """Class number of every sample; raises as `chance_level` does."""
    return _read(y)[1]


def _read(y: Any) -> tuple[str, np.ndarray, np.ndarray | None]:
    """Kind of the labels, class number per sample, and the rows if the labels are rows."""
    labels = np.asarray(y)
    seen = f"Received: labels of shape {labels.shape} and dtype {labels.dtype}"
    if labels.dtype.kind not in "biuf":
        raise ValueError(f"Labels must be numbers or booleans. {seen}")
    if labels.ndim not in (1, 2) or labels.size == 0:
        raise ValueError(f"Labels must be non-empty, of shape (n,), (n, 1) or (n, k). {seen}")
    values = labels.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"Labels must be finite. {seen}, with NaN or infinity in it")
    if values.min() < 0:
        raise ValueError(f"Labels must not be negative. {seen}, smallest {values.min():g}")
    if values.ndim == 2 and values.shape[1] > 1:
        if not np.allclose(values.sum(axis=1), 1.0, atol=1e-3):
            raise ValueError(
                "Cannot know the chance accuracy of rows that do not sum to 1: neither one-hot "
                f"labels nor probabilities (several labels per sample?). {seen}"
            )
        kind = "one-hot" if np.isin(values, (0.0, 1.0)).all() else "probabilities"
        return kind, values.argmax(axis=1), values
    values = values.reshape(-1)
    if (values != np.floor(values)).any():
        raise ValueError(
            "Cannot know the chance accuracy of labels that are not whole numbers: this looks like "
            f"a regression, which has no accuracy. {seen}"
        )
    return ("binary" if values.max() <= 1 else "sparse"), values.astype(np.int64), None


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
