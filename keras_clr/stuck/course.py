"""Where a run stands, from what was counted epoch by epoch. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keras_clr._keras.readings import CountedAccuracy, EpochReading
from keras_clr.stuck.chance import Chance
from keras_clr.stuck.diagnosis import State
from keras_clr.stuck.probe import Target
from keras_clr.stuck.sequential import SequentialTest

# Better than the best constant answer by so many standard errors is no accident.
CLEAR_ADVANTAGE = 3.0
# Of the best constant's loss: less is nothing, however sure it is. Any step on the probe samples themselves gains some.
_LEAST_SKILL = 1e-3
# Of the best constant's loss: closer than this, the run has learned what that constant is, and nothing else.
SAME_LOSS = 0.02
# Accuracies that count samples (or entries of sequences), for each kind of labels.
_COUNTING = {
    "binary": ("binary", "sparse", "exact"),
    "sparse": ("sparse", "exact"),
    "one-hot": ("categorical",),
    "probabilities": ("categorical",),
    "multi-label": ("binary",),
    "regression": (),
}
# Of several outputs, the run stands where the worst stands.
_WORST_FIRST = (State.COLLAPSED, State.BELOW_CHANCE, State.AT_CHANCE, State.TOO_EARLY, State.LEARNING)


@dataclass(frozen=True)
class Advantage:
    """How much better the model does on the probe than the best answer that does not look at the input.

    Attributes:
        skill: 1 - loss / loss of the best constant: 0 for guessing, 1 for perfect; R^2 for a mean squared error.
        errors: The difference of the losses in standard errors of its mean over the samples.
    """

    skill: float
    errors: float

    @classmethod
    def of(cls, losses: np.ndarray, constant_losses: np.ndarray, weights: np.ndarray) -> Advantage | None:
        """From the losses of the same samples, shape (n,); None if there is nothing to compare with."""
        best = float(np.average(constant_losses, weights=weights))
        gains = constant_losses - losses
        gain = float(np.average(gains, weights=weights))
        if not best > 0.0 or not np.isfinite(gain):
            return None
        shares = weights / weights.sum()
        error = float(np.sqrt(np.sum(shares**2 * (gains - gain) ** 2)))
        return cls(gain / best, gain / error if error > 0.0 else float(np.sign(gain)) * 1e9)

    @property
    def clear(self) -> bool:
        """Whether the model is better than any constant, beyond doubt, by an amount worth a word."""
        return self.errors >= CLEAR_ADVANTAGE and self.skill >= _LEAST_SKILL


class OutputCourse:
    """What the training accuracy of one output says.

    Args:
        name: The output's name.
        chance: Chance level of its labels.
        margin: As of `SequentialTest`.
        false_alarm: As of `SequentialTest`.
    """

    def __init__(self, name: str, chance: Chance, margin: float | None, false_alarm: float) -> None:
        self.name = name
        self.chance = chance
        self._margin, self._false_alarm = margin, false_alarm
        self.test: SequentialTest | None = None
        self.accuracy: float | None = None
        self.metric: CountedAccuracy | None = None
        self.learned_epoch: int | None = None

    def update(self, metric: CountedAccuracy | None, epoch: int) -> None:
        """Adds an epoch's right answers; None if there are none to be had."""
        self.metric = metric
        self.accuracy = None if metric is None else metric.correct / metric.count
        if metric is None:
            return
        if self.test is None:
            chance = self.chance.accuracy if metric.top_k == 1 else self.chance.top_k(metric.top_k)
            if chance is None or not chance < 1.0:
                self.metric = self.accuracy = None
                return
            self.test = SequentialTest(chance, self._margin, self._false_alarm)
        self.test.update(min(metric.correct, metric.count), metric.count)
        if self.test.learned and self.learned_epoch is None:
            self.learned_epoch = epoch

    @property
    def state(self) -> State:
        """What can be said from right answers alone."""
        test = self.test
        if test is None:
            return State.TOO_EARLY
        if test.learned:
            return State.LEARNING
        if test.fallen:
            return State.COLLAPSED
        if not test.alarm:
            return State.TOO_EARLY
        return State.BELOW_CHANCE if self._is_below() else State.AT_CHANCE

    def _is_below(self) -> bool:
        """Whether the last epoch's accuracy is below that of the worst constant answer, beyond doubt."""
        lowest, metric = self.chance.lowest, self.metric
        if lowest is None or metric is None or self.accuracy is None or metric.top_k > 1:
            return False
        error = math.sqrt(lowest * (1.0 - lowest) / metric.count)
        return self.accuracy < lowest - CLEAR_ADVANTAGE * error

    def evidence(self) -> dict[str, float]:
        """The numbers behind the state; empty if nothing was counted."""
        test = self.test
        if test is None or self.metric is None or self.accuracy is None:
            return {}
        return {
            "training_accuracy": self.accuracy,
            "num_samples": self.metric.count,
            "wald_statistic": test.statistic,
            "wald_threshold": test.threshold,
            "samples_so_far": test.num_samples,
            "expected_samples": test.expected_samples(),
            "chance_accuracy": test.chance,
            "margin": test.margin,
            "false_alarm": test.false_alarm,
        }

    def near_chance(self, accuracy: float) -> bool:
        """Whether this accuracy is less than `margin` above chance."""
        return self.test is not None and accuracy <= self.test.chance + self.test.margin


def judge(courses: Sequence[OutputCourse], advantage: Advantage | None) -> State:
    """Where the run stands, if it is neither frozen nor diverged.

    Args:
        courses: One for each output.
        advantage: On the probe; None if it was not looked at, or nothing is known.
    """
    states = [course.state for course in courses]
    if all(course.test is None for course in courses):
        return _by_loss(advantage)
    worst = next((state for state in _WORST_FIRST if state in states), State.TOO_EARLY)
    if worst is State.AT_CHANCE and advantage is not None:
        if advantage.clear:
            return State.SLOW_START
        if abs(advantage.skill) <= SAME_LOSS:
            return State.CLASS_SHARES
    return worst


def _by_loss(advantage: Advantage | None) -> State:
    """No right answers are counted: no statistics over the epochs, only what the probe shows now."""
    if advantage is None:
        return State.TOO_EARLY
    if advantage.clear:
        return State.LEARNING if advantage.skill >= 0.1 else State.SLOW_START
    return State.AT_CHANCE


def right_answers(
    reading: EpochReading, output: int, target: Target, entries: int, notes: list[str]
) -> CountedAccuracy | None:
    """The first accuracy of an output that counts right answers; says what is not used.

    Args:
        reading: What the model's metrics have counted.
        output: Which output, counted from 0.
        target: What is asked of it.
        entries: Labels in one sample: 1, or the length of a sequence. A metric counts them one by one, or a sample's
            mean as one answer.
        notes: Takes what cannot be used, and why.
    """
    for metric in reading.accuracies:
        if metric.output != output:
            continue
        if metric.kind not in _COUNTING[target.chance.kind]:
            notes.append(
                f"Metric `{metric.name}` does not count samples with {target.chance.kind} labels: it is not used."
            )
        elif (metric.name, metric.threshold) in target.misread_by:
            notes.append(f"Metric `{metric.name}` does not mean what it says for this output: it is not used.")
        elif metric.count not in (reading.num_samples, reading.num_samples * entries) or not metric.count:
            notes.append(
                f"Metric `{metric.name}` has counted {metric.count:g} answers where {reading.num_samples * entries:g} "
                "were asked for (a mask?): not used."
            )
        else:
            return metric
    return None
