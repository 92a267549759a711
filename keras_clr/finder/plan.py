"""Which rate the sweep tries next, and when it has seen enough: pure, no Keras.

Rates rise geometrically. Divergence is judged by the scale of the drop, not by a ratio to the best loss (fastai and
Lightning stop at 4 times the best), which has no meaning for losses that are negative, near zero or unscaled.
"""

from __future__ import annotations

import enum
import math
import statistics

import numpy as np

from keras_clr.finder.rules import has_turned

NUM_FIRST = 5  # The level before training has moved is the median of this many losses.
MIN_POINTS = 20  # Fewer show nothing.
FATAL_STEPS = 3  # Losses in a row above the limit: one alone may be a hard batch.


class SweepEnd(enum.Enum):
    """How a sweep ended; the value says it in words."""

    DIVERGED = "the loss diverged"
    NOT_FINITE = "the loss became NaN or infinite"
    TURNED = "the loss was rising again at max_lr"
    NO_DIVERGENCE = "the loss never diverged, up to the highest rate that is tried"
    OUT_OF_DATA = "the data ended"


class SweepPlan:
    """Hands out rates and collects losses until the sweep has ended.

    Args:
        min_lr: First rate.
        max_lr: Rate that the sweep reaches after `num_steps` updates.
        num_steps: Number of updates from `min_lr` to `max_lr`.
        extend_to: Rate up to which it goes on, at the same pace, when by `max_lr` the loss has neither diverged nor
            begun to rise again.
    """

    def __init__(self, min_lr: float, max_lr: float, num_steps: int, extend_to: float) -> None:
        self._log_min = math.log(min_lr)
        self._log_step = (math.log(max_lr) - self._log_min) / (num_steps - 1)
        self._num_updates = num_steps + math.floor(max(0.0, math.log(extend_to / max_lr)) / self._log_step + 1e-9)
        self.num_steps = num_steps
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.end: SweepEnd | None = None
        self._above = 0
        self._best = math.inf
        self._first = math.nan, math.nan

    def rate(self, update: int) -> float:
        """The rate of an update, counted from 0."""
        return math.exp(self._log_min + self._log_step * update)

    def record(self, loss: float) -> None:
        """Notes the loss of the first update that has none yet, and sets `end` if it was the last one."""
        if not math.isfinite(loss):
            self.end = SweepEnd.NOT_FINITE
            return
        self.rates.append(self.rate(len(self.rates)))
        self.losses.append(loss)
        # A median of three keeps one lucky batch from passing for the best that training reached.
        if len(self.losses) >= 3:
            self._best = min(self._best, statistics.median(self.losses[-3:]))
        if len(self.losses) > NUM_FIRST:
            self._above = self._above + 1 if loss > self._limit() else 0
            if self._above == FATAL_STEPS:
                self.end = SweepEnd.DIVERGED
                return
        if len(self.rates) == self.num_steps and has_turned(np.array(self.rates), np.array(self.losses)):
            self.end = SweepEnd.TURNED
        elif len(self.rates) == self._num_updates:
            self.end = SweepEnd.NO_DIVERGENCE

    def _limit(self) -> float:
        """The loss before training + twice the drop so far, or well outside the noise of the batches."""
        if len(self.losses) <= NUM_FIRST * 2:
            middle = statistics.median(self.losses)
            noise = 1.4826 * statistics.median(abs(loss - middle) for loss in self.losses)
            self._first = statistics.median(self.losses[:NUM_FIRST]), noise
        level, noise = self._first
        return level + max(2 * (level - self._best), 6 * noise, 1e-6 * abs(level))

    @property
    def diverged_at_once(self) -> bool:
        """It blew up in the first fifth, or with too few points: the range began too high to be of use."""
        blew_up = self.end in (SweepEnd.DIVERGED, SweepEnd.NOT_FINITE)
        return blew_up and len(self.rates) < max(MIN_POINTS, self.num_steps / 5)
