"""What guessing reaches on given labels, and a sequential test against it. Pure numpy."""

from __future__ import annotations

import math
import numbers
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


class SequentialTest:
    """Wald's one-sided sequential test of "this run has learned something".

    After `c` correct answers out of `n`, with p0 = chance and p1 = chance + margin,

        S = c ln(p0 / p1) + (n - c) ln((1 - p0) / (1 - p1)),

    and `alarm` is raised at S >= ln(1 / false_alarm). For a run whose accuracy is at least p1 the
    factor exp(S) has a mean of at most 1 at every step, so by Ville's inequality it ever raises
    the alarm with probability <= false_alarm, *however often one looks* (Wald 1945; Ville 1939).
    The alarm says "at chance so far", never "it will stay there".

    The same counts feed the opposite question, `learned`: is the accuracy above p0? Its statistic
    is a mixture over the look at which learning began (weight 1 / (k (k + 1)) for look k), so a
    run that sat at chance for long is believed soon after it starts; a run at or below p0 is ever
    called learned with probability <= false_alarm.

    Counts may be scaled down, (a c, a n) with 0 < a <= 1, where the true number of samples is only
    known to be larger: by Jensen's inequality the mean of exp(a S) is at most 1 as well.

    Args:
        chance: Accuracy at chance, p0, in (0, 1).
        margin: Smallest gain over chance that counts as learning, d > 0 with p0 + d < 1. None:
            a tenth of what there is to gain, 0.1 (1 - p0): 0.05 at p0 = 0.5.
        false_alarm: Bound on the probability of a wrong alarm, in (0, 1).

    Example:
        >>> test = SequentialTest(0.5, 0.05, 1e-3)
        >>> round(test.expected_samples())
        1375
        >>> test.update(correct=1000, num_samples=2000)
        >>> test.alarm, test.learned
        (True, False)
    """

    def __init__(self, chance: float, margin: float | None, false_alarm: float) -> None:
        for name, value in {"chance": chance, "margin": margin, "false_alarm": false_alarm}.items():
            if not isinstance(value, numbers.Real) and not (name == "margin" and value is None):
                raise TypeError(f"Argument `{name}` must be a number. Received: {name}={value!r}")
        if not 0.0 < chance < 1.0:
            raise ValueError(
                "Argument `chance` must be in (0, 1): with one class only, every answer is at "
                f"chance. Received: chance={chance}"
            )
        if margin is None:
            margin = 0.1 * (1.0 - chance)
        if not 0.0 < margin < 1.0 - chance:
            raise ValueError(
                f"Argument `margin` must be > 0 and below 1 - chance = {1.0 - chance:g}. Received: margin={margin}"
            )
        if not 0.0 < false_alarm < 1.0:
            raise ValueError(f"Argument `false_alarm` must be in (0, 1). Received: false_alarm={false_alarm}")
        self.chance = chance
        self.margin = margin
        self.false_alarm = false_alarm
        self.threshold = -math.log(false_alarm)
        self.statistic = 0.0
        self.num_samples = 0.0
        self.alarm = False
        self.learned = False
        self._looks = 0
        self._log_mixture = -math.inf
        # log1p(-x) keeps its digits where p0 is near 1 and the ratio of the misses near 1 as well.
        self._per_correct = math.log(chance / (chance + margin))
        self._per_miss = -math.log1p(-margin / (1.0 - chance))

    def update(self, correct: float, num_samples: float) -> None:
        """Adds `correct` right answers out of `num_samples`.

        Raises:
            ValueError: If not 0 <= correct <= num_samples, or a number is not finite.
        """
        if not (math.isfinite(num_samples) and 0.0 <= correct <= num_samples):
            raise ValueError(
                "Arguments must be finite with 0 <= correct <= num_samples. "
                f"Received: correct={correct}, num_samples={num_samples}"
            )
        if num_samples == 0:
            return
        step = correct * self._per_correct + (num_samples - correct) * self._per_miss
        self.num_samples += num_samples
        self.statistic += step
        self.alarm = self.alarm or self.statistic >= self.threshold
        self._looks += 1
        prior = -math.log(self._looks * (self._looks + 1))
        larger, smaller = max(self._log_mixture, prior), min(self._log_mixture, prior)
        self._log_mixture = larger + math.log1p(math.exp(smaller - larger)) - step
        self.learned = self.learned or self._log_mixture >= self.threshold

    def expected_samples(self) -> float:
        """Samples until the alarm on a run that stays at chance (Wald: threshold / mean step)."""
        drift = self.chance * self._per_correct + (1.0 - self.chance) * self._per_miss
        return self.threshold / drift


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
