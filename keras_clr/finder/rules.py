"""Suggestion rules: pure functions of a measured curve, (rates, losses) -> rate. numpy only, no Keras.

`rates` are increasing and positive, `losses` the true losses of the batches that used them, finite, of the same
length. The rules of other finders are here too, written from their description, so that one curve can be read in
all of their ways; the benchmark applies the original functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Rule = Callable[[np.ndarray, np.ndarray], float]

# Those of `descent` and `bounds` were tuned on half of the tasks of benchmarks/finder_regret.py; the optimum is flat.
SMOOTHING_DECADES = 0.12  # Standard deviation of the smoothing, in decades of the rate: for the eye, and the minimum.
FALL_DECADES = 0.25  # The same where only the fall matters.
NUM_LEVEL = 10  # The level before training has moved is the median of this many losses.
FALL_LEVELS = np.linspace(0.5, 1.0, 11)  # Shares of the fall whose rates are averaged.
FROM_FALL = 2.0  # From where a rising rate reaches those shares to what trains best at a steady rate.
FROM_EDGE = 0.25  # From where the loss is back at its first level to the same.
FALL_WEIGHT = 0.8  # Weight of the first of these two estimates where the fall is clear.
CLEAR = 5.0  # Standard errors: what is clear of the noise; a fall of this many has half of its weight.
MOMENTUM_EXPONENT = 0.6
CYCLE_TOP, CYCLE_RATIO = 1.5, 4.0
PROBE_FACTORS = (0.25, 1.0, 4.0)  # Candidates for a short training, by the rate that `descent` gives.


def smooth(rates: np.ndarray, losses: np.ndarray, decades: float = SMOOTHING_DECADES) -> np.ndarray:
    """A Gaussian average over neighbouring log-rates: no lag, unlike an exponential moving average.

    An average over the past is centred on rates that are long gone: 2.7 decades with the usual factor of .98 and 100
    steps over 8 decades.

    Args:
        rates: Rates, shape (n,).
        losses: Losses, shape (n,).
        decades: Standard deviation of the Gaussian in decades.

    Returns:
        Smoothed losses, shape (n,).
    """
    position = np.log10(rates)
    weights = np.exp(-0.5 * ((position[:, None] - position[None, :]) / decades) ** 2)
    return np.asarray(weights @ losses / weights.sum(axis=1))


class _Fall(NamedTuple):
    """How the loss fell.

    Attributes:
        curve: The smoothed losses, shape (n,).
        level: The loss before training has moved.
        error: Standard error of the smoothed losses.
        clarity: The fall in standard errors; 0 if there is none, infinite without noise.
        rise: The same for the rise from the lowest smoothed loss to the last.
    """

    curve: np.ndarray
    level: float
    error: float
    clarity: float
    rise: float


def _fall(rates: np.ndarray, losses: np.ndarray) -> _Fall:
    curve = smooth(rates, losses, FALL_DECADES)
    level, end = float(np.median(losses[:NUM_LEVEL])), int(np.argmin(curve)) + 1
    # Beyond the minimum the loss is wild: its noise says nothing about the fall.
    residuals = (losses - curve)[: end if end > NUM_LEVEL else len(losses) // 2]
    noise = 1.4826 * float(np.median(np.abs(residuals - np.median(residuals))))
    per_decade = (len(rates) - 1) / np.log10(rates[-1] / rates[0])
    # A Gaussian average is worth this many equal weights.
    error = noise / np.sqrt(max(1.0, 2 * np.sqrt(np.pi) * FALL_DECADES * per_decade))

    def in_errors(change: float) -> float:
        if change <= 1e-6 * np.abs(curve).max():  # Rounding.
            return 0.0
        return float(change / error) if error > 0 else float("inf")

    # A loss that is lowest while the level is taken has not fallen from it.
    clarity = in_errors(level - curve.min()) if end > NUM_LEVEL else 0.0
    return _Fall(curve, level, float(error), clarity, in_errors(curve[-1] - curve.min()))


def fall_in_noise(rates: np.ndarray, losses: np.ndarray) -> float:
    """How clearly the loss fell: the fall of the smoothed curve in standard errors.

    0 if it did not fall, or only while the level was taken; infinite if it fell without noise.
    """
    return _fall(rates, losses).clarity


def has_turned(rates: np.ndarray, losses: np.ndarray) -> bool:
    """Whether the loss fell and is on its way up again, both clear of the noise."""
    fall = _fall(rates, losses)
    return min(fall.clarity, fall.rise) >= CLEAR


def descent(rates: np.ndarray, losses: np.ndarray, momentum: float = 0.0) -> float:
    """Our rule: the middle of the second half of the fall, corrected by where the loss is back up.

    The rate of the lowest loss says where training breaks, which is noisy and far from where it works. Where the loss
    *falls* is seen in many batches. So: between the level before training moved and the lowest smoothed loss, take the
    rates at which 50, 55, ... 100 % of the fall are reached for good, average their logarithms, and double. A second
    estimate is a quarter of the last rate at which the smoothed loss is not yet clearly above its first level. The
    logarithms of the two are averaged with weights 0.8 and 0.2; when the fall is lost in noise the second decides.

    With momentum a steady rate has to be lower, since momentum has no time to build up while the rate rises: the
    result is multiplied by (1 - momentum) ** 0.6.

    Args:
        rates: Rates, shape (n,).
        losses: Losses, shape (n,).
        momentum: What the optimizer keeps of its last step or averaged gradient: `momentum` of SGD, `beta_1` of Adam
            and its family, 0 where there is no such thing. In [0, 1). Defaults to 0.

    Returns:
        The rate.

    Example:
    >>> import numpy as np
    >>> rates = np.geomspace(1e-5, 10, 100)
    >>> losses = 1 / (1 + rates / 1e-3) + rates  # Falls around 1e-3, is back up at 1.
    >>> [round(descent(rates, losses, momentum), 3) for momentum in (0.0, 0.9)]
    [0.012, 0.003]
    """
    position = np.log10(rates)
    fall = _fall(rates, losses)
    falling = fall.curve[: int(np.argmin(fall.curve)) + 1]
    # The highest loss still to come: a share counts as reached where the curve goes below it for the last time.
    still_to_come = np.maximum.accumulate(falling[::-1])[::-1]
    wanted = fall.level - FALL_LEVELS * (fall.level - falling[-1])
    from_fall = np.interp(-wanted, -still_to_come, position[: len(falling)]).mean() + np.log10(FROM_FALL)

    below = np.flatnonzero(fall.curve <= fall.level + CLEAR * fall.error)
    from_edge = position[below[-1] if len(below) else 0] + np.log10(FROM_EDGE)

    weight = FALL_WEIGHT / (1 + (CLEAR / max(fall.clarity, 1e-9)) ** 4)
    mean = weight * from_fall + (1 - weight) * from_edge
    return float(10**mean * (1 - momentum) ** MOMENTUM_EXPONENT)


def lowest(rates: np.ndarray, losses: np.ndarray) -> float:
    """The rate at the lowest smoothed loss: the end of the useful range."""
    return float(rates[np.argmin(smooth(rates, losses))])


def candidates(rates: np.ndarray, losses: np.ndarray, momentum: float = 0.0) -> list[float]:
    """Rates worth a short training, rising."""
    return [descent(rates, losses, momentum) * factor for factor in PROBE_FACTORS]


def bounds(rate: float) -> tuple[float, float]:
    """(base_lr, max_lr) of a cycle for a problem whose best steady rate is `rate`.

    The top of a cycle may lie above what a steady rate allows, since its low end makes up for it: 1.5 times the rate,
    and a quarter of that, which is Smith's rule for the lower end (2015, arXiv 1506.01186).
    """
    return CYCLE_TOP * rate / CYCLE_RATIO, CYCLE_TOP * rate


def moving_average(losses: np.ndarray, beta: float) -> np.ndarray:
    """Exponential moving average with bias correction: what fastai and Lightning look at (beta .98)."""
    average, corrected = 0.0, np.empty(len(losses))
    for i, loss in enumerate(losses):
        average = beta * average + (1 - beta) * loss
        corrected[i] = average / (1 - beta ** (i + 1))
    return corrected


def minimum(rates: np.ndarray, losses: np.ndarray) -> float:
    """A tenth of the rate at the lowest loss (fastai's "minimum")."""
    return float(rates[np.argmin(losses)] / 10)


def steepest(rates: np.ndarray, losses: np.ndarray) -> float:
    """The rate at which the loss falls fastest per unit of log-rate (fastai's "steep")."""
    return float(rates[:-1][np.argmin(np.diff(losses) / np.diff(np.log(rates)))])


def gradient_by_index(rates: np.ndarray, losses: np.ndarray) -> float:
    """The rate at the smallest `np.gradient` of the loss over the index (torch-lr-finder)."""
    return float(rates[np.argmin(np.gradient(losses))])


def gradient_by_rate(rates: np.ndarray, losses: np.ndarray) -> float:
    """The rate at the smallest derivative by the *linear* rate (Lightning from 2.5.3 on)."""
    return float(rates[np.argmin(np.gradient(losses, rates))])


def before_minimum(rates: np.ndarray, losses: np.ndarray) -> float:
    """The rate at the smallest centred difference before the minimum (ignite)."""
    end = int(np.argmin(losses)) + 1
    if end < 3:
        return float(rates[0])
    falls = 0.5 * (losses[2:end] - losses[: end - 2])
    return float(rates[1 + np.argmin(falls)])


def valley(rates: np.ndarray, losses: np.ndarray) -> float:
    """Half-way along the longest falling subsequence (fastai's "valley")."""
    n = len(losses)
    lengths = np.ones(n, dtype=int)
    for i in range(1, n):
        earlier = lengths[:i][losses[:i] > losses[i]]
        if len(earlier):
            lengths[i] = earlier.max() + 1
    last = int(np.argmax(lengths))
    first = last - int(lengths[last])
    third = (last - first) / 3
    return float(rates[first + int(third) + int(third / 2)])


def slide(rates: np.ndarray, losses: np.ndarray, width: int = 15, tolerance: float = 0.005) -> float:
    """Slides an interval to the left while the slopes at its ends differ by more than `tolerance` (fastai)."""
    slopes = np.gradient(losses)
    right = len(slopes) - 1
    left = found = max(right - width, 0)
    while left >= 0 and abs(slopes[right] - slopes[left]) > tolerance:
        found, left, right = left, left - 1, right - 1
    return float(rates[found])


RULES: dict[str, Rule] = {
    "descent": descent,
    "smooth-minimum": lambda rates, losses: lowest(rates, losses) / 10,
    "minimum": lambda rates, losses: minimum(rates, moving_average(losses, 0.98)),
    "steepest": lambda rates, losses: steepest(rates, moving_average(losses, 0.98)),
    "valley": lambda rates, losses: valley(rates, moving_average(losses, 0.98)),
    "slide": lambda rates, losses: slide(rates, moving_average(losses, 0.98)),
    "gradient-by-index": lambda rates, losses: gradient_by_index(rates, moving_average(losses, 0.95)),
    "gradient-by-rate": lambda rates, losses: gradient_by_rate(rates, moving_average(losses, 0.98)),
    "before-minimum": lambda rates, losses: before_minimum(rates, moving_average(losses, 0.95)),
}
