"""Looks at the probe samples in the middle of a fit: what the model answers, and whether it can still move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_clr._errors import attempt
from keras_clr._keras.baseline import constant_losses, sample_losses
from keras_clr._keras.prediction import predict_all
from keras_clr._keras.readings import probability_loss
from keras_clr._keras.tensors import Batch
from keras_clr.stuck.certificate import NUM_CHECKS, decay_left, has_weight_decay, take_look, way_out
from keras_clr.stuck.checks.run import needed_move
from keras_clr.stuck.checks.training import Standstill, check_standstill, count_clipped, is_saturated, measure_reach
from keras_clr.stuck.course import Advantage, OutputCourse
from keras_clr.stuck.finding import Finding
from keras_clr.stuck.probe import Probe, Target


@dataclass(frozen=True)
class Answers:
    """What a model answers to the probe samples, in inference mode.

    Attributes:
        outputs: Each output, shape (n, ...).
        finite: Whether all of them are numbers.
        accuracies: Of each output, None where nothing counts right answers.
        loss: Mean loss, without regularisation; None if it cannot be told sample by sample.
        advantage: Over the best answer that does not look at the input.
        constant_loss: The loss of that answer.
        moved: How far the answers are from those of the last look (root mean square); None at the first.
        num_unanswered: Classes of the samples that none is answered with; 0 where that is not known.
        needed: How far an answer must move for `margin` of the samples to become right; None if unknown.
    """

    outputs: list[np.ndarray]
    finite: bool
    accuracies: list[float | None]
    loss: float | None = None
    advantage: Advantage | None = None
    constant_loss: float | None = None
    moved: float | None = None
    needed: float | None = None
    num_unanswered: int = 0


class Probing:
    """The looks of one fit.

    Args:
        model: The model.
        probe: The samples.
        targets: What is asked of each output.
    """

    def __init__(self, model: Any, probe: Probe, targets: Sequence[Target]) -> None:
        self._model, self._probe, self._targets = model, probe, targets
        self._constant: np.ndarray | None = None
        self._last: list[np.ndarray] | None = None
        self._standstills = 0

    def forget(self) -> None:
        """To be called at an epoch's end without a look: what follows in a row begins anew."""
        self._last = None
        self._standstills = 0

    def answers(self, batches: Sequence[Batch], courses: Sequence[OutputCourse]) -> Answers:
        """What the model answers now.

        Args:
            batches: The probe samples.
            courses: Of each output, for the accuracy that its metric counts.
        """
        outputs = [array[: len(self._probe)] for array in predict_all(self._model, batches)]
        if not all(np.isfinite(array).all() for array in outputs):
            return Answers(outputs, finite=False, accuracies=[None] * len(outputs))
        last, self._last = self._last, outputs
        accuracies = [
            None if course.metric is None else target.accuracy(array, course.metric.threshold, course.metric.top_k)
            for target, array, course in zip(self._targets, outputs, courses, strict=True)
        ]
        moved = None if last is None else _distance(last, outputs)
        if len(outputs) > 1:
            return Answers(outputs, True, accuracies, moved=moved)
        target, array, course = self._targets[0], outputs[0], courses[0]
        losses, _ = attempt(lambda: sample_losses(self._model, target.labels, array))
        if self._constant is None:
            self._constant, _ = attempt(
                lambda: constant_losses(self._model, target.labels, array.shape[1:], target.weights)
            )
        needed, num_unanswered = None, 0
        if course.test is not None and course.metric is not None and target.classes is not None and array.ndim == 2:
            needed = needed_move(array, target.classes, course.metric.threshold, course.test.margin)
            answered = array.argmax(axis=1) if array.shape[1] > 1 else array[:, 0] > course.metric.threshold
            num_unanswered = len(np.setdiff1d(target.classes, answered))
        advantage = None
        if losses is not None and self._constant is not None:
            advantage = Advantage.of(losses, self._constant, target.weights)
        return Answers(
            outputs,
            True,
            accuracies,
            loss=None if losses is None else target.mean(losses),
            advantage=advantage,
            constant_loss=target.mean(self._constant) if self._constant is not None else None,
            moved=moved,
            needed=needed,
            num_unanswered=num_unanswered,
        )

    def certificate(
        self,
        batches: Sequence[Batch],
        answers: Answers,
        *,
        accuracy: float | None,
        loss: float | None,
        rate: float,
        highest_rate: float,
        updates_ahead: float | None,
        notes: list[str],
    ) -> Finding | None:
        """Proof that the run cannot move, at the second standstill in a row; None if there is none.

        Args:
            batches: The probe samples.
            answers: What the model answers to them.
            accuracy: Training accuracy of the epoch, None if unknown.
            loss: Training loss of the epoch, None if unknown.
            rate: Learning rate at its end.
            highest_rate: The highest one at an epoch's end so far.
            updates_ahead: Updates for which to forecast what weight decay does; None if unknown.
            notes: Takes what stands in the way of a proof.
        """
        look = take_look(self._model, batches, answers.outputs)
        if look.gradient.num_unconnected:
            notes.append(
                f"{look.gradient.num_unconnected} of {look.gradient.num_variables} trainable variables have no "
                "connection to the loss: what their gradient means cannot be known, so no certificate."
            )
        self._standstills = self._standstills + 1 if look.standstill else 0
        if not look.standstill:
            return None
        if self._standstills < NUM_CHECKS:
            notes.append("The gradient is 0 on every probe sample; the next epoch end will tell whether it stays so.")
            return None
        loss_kind, clipped = self._clipped(answers)
        num_samples = len(answers.outputs[0])
        decays = has_weight_decay(self._model)
        left = None if updates_ahead is None else decay_left(self._model, updates_ahead, highest_rate)
        obstacle = way_out(self._model, batches, look.gradient.zeros, left)
        if hasattr(self._model.optimizer, "inner_optimizer") and not is_saturated(clipped, num_samples, loss_kind):
            obstacle = "in float16 it may be 0 by underflow, and the loss scale may still grow"
        if obstacle is not None:
            notes.append(f"The gradient is 0 on every probe sample, but that is no certificate: {obstacle}.")
            return None
        reach, _ = attempt(lambda: measure_reach(self._model, batches, rate))
        return check_standstill(
            Standstill(
                gradient=look.gradient,
                whole=look.whole,
                num_samples=num_samples,
                num_checks=self._standstills,
                updates_ahead=updates_ahead if decays else None,
                accuracy=accuracy,
                loss=loss,
                loss_kind=loss_kind,
                clipped=clipped,
                units=answers.outputs[0].shape[-1],
                rate=rate,
                reach=reach,
                inputs=self._probe.inputs,
            )
        )

    def _clipped(self, answers: Answers) -> tuple[str | None, tuple[int, int]]:
        """Kind of the loss if it clips probabilities, and how many samples it clips at 0 and at 1."""
        target, outputs = self._targets[0], answers.outputs[0]
        # Of a label that is a mixture, all classes count: the clip at the likeliest explains nothing.
        if len(self._targets) > 1 or target.classes is None or target.chance.kind == "probabilities":
            return None, (0, 0)
        kind = probability_loss(self._model)
        if kind is None or outputs.ndim != 2:
            return None, (0, 0)
        return kind, count_clipped(outputs, target.classes, keras.config.epsilon())


def _distance(before: list[np.ndarray], after: list[np.ndarray]) -> float:
    squares = [np.square(b.astype(np.float64) - a).mean() for b, a in zip(before, after, strict=True)]
    return float(np.sqrt(np.mean(squares)))
