"""Suggestion rules: pure functions of a measured curve, (rates, losses) -> rate. numpy only, no Keras.

`rates` are increasing and positive, `losses` the true losses of the batches that used them, finite, of the same
length. The rules of other finders are here too, written from their description, so that one curve can be read in
all of their ways; the benchmark applies the original functions.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Rule = Callable[[np.ndarray, np.ndarray], float]

SMOOTHING_DECADES = 0.12  # Standard deviation of our smoothing, in decades of the rate.


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
    left = right - width
    while left > 0 and abs(slopes[right] - slopes[left]) > tolerance:
        left, right = left - 1, right - 1
    return float(rates[max(left, 0)])


PROBE_DIVISORS = (30.0, 10.0, 5.0, 2.0)  # Candidates for a trial: the rate of the lowest loss by these.


def lowest(rates: np.ndarray, losses: np.ndarray) -> float:
    """The rate at the lowest smoothed loss: the end of the useful range."""
    return float(rates[np.argmin(smooth(rates, losses))])


def candidates(rates: np.ndarray, losses: np.ndarray) -> list[float]:
    """Rates worth a trial, rising. How far below the lowest loss the best one is depends on the optimizer."""
    return [lowest(rates, losses) / divisor for divisor in PROBE_DIVISORS]


def bounds(rate: float) -> tuple[float, float]:
    """(base_lr, max_lr) of a cycle around a rate that trains well: twice the rate, and a quarter of that."""
    return rate / 2, 2 * rate


RULES: dict[str, Rule] = {
    "minimum": lambda rates, losses: minimum(rates, moving_average(losses, 0.98)),
    "steepest": lambda rates, losses: steepest(rates, moving_average(losses, 0.98)),
    "valley": lambda rates, losses: valley(rates, moving_average(losses, 0.98)),
    "slide": lambda rates, losses: slide(rates, moving_average(losses, 0.98)),
    "gradient-by-index": lambda rates, losses: gradient_by_index(rates, moving_average(losses, 0.95)),
    "gradient-by-rate": lambda rates, losses: gradient_by_rate(rates, moving_average(losses, 0.98)),
    "before-minimum": lambda rates, losses: before_minimum(rates, moving_average(losses, 0.95)),
    "smooth-minimum": lambda rates, losses: lowest(rates, losses) / 10,
}
