"""`StuckDetector`: the callback. Collects evidence at each epoch's end, asks the checks, acts."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import keras

from keras_clr._errors import StuckTrainingError, StuckTrainingWarning
from keras_clr._keras.gradients import GradientProbe, predict, to_numpy
from keras_clr._keras.messages import print_message
from keras_clr._keras.optimizers import leaf_optimizers
from keras_clr._keras.readings import EpochReading, probability_loss, read_epoch
from keras_clr.cyclic.policies import check_choice
from keras_clr.stuck.chance import Chance
from keras_clr.stuck.checks import Probe, Standstill, right_answers
from keras_clr.stuck.checks.training import (
    check_standstill,
    count_clipped,
    is_saturated,
    measure_accuracy,
    measure_reach,
    way_out,
)
from keras_clr.stuck.diagnosis import Diagnosis, State
from keras_clr.stuck.finding import Finding, plain
from keras_clr.stuck.sequential import SequentialTest

_T = TypeVar("_T")

# Looks at the gradient of each probe sample, each with dropout of its own.
_NUM_DRAWS = 3
# Epoch ends in a row at which the gradient must be 0. The whole epoch before the second one was
# frozen already, so its training accuracy and loss are those of the frozen state.
_NUM_CHECKS = 2


class StuckDetector(keras.callbacks.Callback):
    """Says when training is frozen at chance, why, and what to change.

    At the end of every epoch it adds the epoch's right answers to Wald's sequential test against chance, which
    comes from the labels. While the training accuracy is at chance, it takes the gradient of the training loss on
    probe samples: if that is exactly 0 for every weight at two epoch ends in a row, and the optimizer's
    momentum leads nowhere else, the run is frozen, and only then. A slow run, a rate of 0 and the bottom of a
    cycle still have a gradient. Nothing in the model, the optimizer or the random state changes.

    Take it for a classifier with one output.

    Args:
        probe_data: Tuple `(x, y)` of inputs and labels as for `fit`, a few hundred samples like the training
            data or more; at most 256, spread over the classes, are kept. Chance comes from all of `y`, so let it
            have the class shares of the training data. Without it there is no verdict, only a record.
        on_stuck: What to do when the run is frozen: "warn" (a `StuckTrainingWarning`, once per fit), "stop" (warn
            and stop training), or "raise" (a `StuckTrainingError` with the diagnosis). Defaults to "warn".
        false_alarm: Bound in (0, 1) on the probability that a run with an accuracy of at least chance + `margin`
            is ever called "at chance so far". Defaults to 1e-3.
        margin: Smallest gain of accuracy over chance that counts as learning. Defaults to a tenth of what there is
            to gain, 0.1 (1 - chance).
        verbose: 0, or 1 to print a line when the state changes. Defaults to 0.

    Attributes:
        diagnosis_: The `Diagnosis` after the last epoch; None before the first.
        stuck_epoch_: 0-based epoch at whose end the run was called frozen, or None.

    Raises:
        ValueError: If an argument is out of range, or the labels are not those of a classification.
        TypeError: If `probe_data` is not a tuple of inputs and labels.

    Example:
    >>> import keras, numpy as np
    >>> x, y = np.random.default_rng(0).normal(size=(64, 2)), np.arange(64) % 2
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    >>> model.compile(loss="binary_crossentropy", metrics=["accuracy"])
    >>> detector = StuckDetector((x, y))
    >>> _ = model.fit(x, y, verbose=0, callbacks=[detector])
    >>> detector.diagnosis_.chance.accuracy, detector.stuck_epoch_
    (0.5, None)
    """

    def __init__(
        self,
        probe_data: Any = None,
        *,
        on_stuck: str = "warn",
        false_alarm: float = 1e-3,
        margin: float | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__()
        check_choice("on_stuck", on_stuck, ("warn", "stop", "raise"))
        check_choice("verbose", verbose, (0, 1))
        self.on_stuck = on_stuck
        self.false_alarm = false_alarm
        self.margin = margin
        self.verbose = verbose
        self._probe, self._why_no_chance = Probe.from_argument(probe_data)
        self._start()

    def _start(self) -> None:
        """State of a fresh fit."""
        self.diagnosis_: Diagnosis | None = None
        self.stuck_epoch_: int | None = None
        # Checks the arguments as well: it is made in the constructor first.
        chance = 0.5 if self._probe is None else self._probe.chance.accuracy
        self._test = SequentialTest(chance, self.margin, self.false_alarm)
        self._epoch_reading: EpochReading | None = None
        self._in_epoch = False
        self._zeros_in_a_row = 0
        self._learned_epoch: int | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Starts afresh: nothing of an earlier fit counts."""
        self._start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """From here on, what the metrics count is this epoch."""
        self._epoch_reading = None
        self._in_epoch = True

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Reads what training has counted: validation resets the metrics next."""
        if self._in_epoch and self._epoch_reading is None:
            self._epoch_reading, _ = self._try(lambda: read_epoch(self.model))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks, writes the diagnosis, and acts if the run is frozen."""
        self._in_epoch = False
        if self.stuck_epoch_ is not None:
            return
        before = None if self.diagnosis_ is None else self.diagnosis_.state
        self.diagnosis_ = self._diagnose(epoch, logs or {})
        state = self.diagnosis_.state
        if self.verbose and state is not before:
            print_message(f"\nEpoch {epoch + 1}: StuckDetector: {state.value}")
        if state is State.FROZEN:
            self.stuck_epoch_ = epoch
            self._act(f"Epoch {epoch + 1}: StuckDetector: {self.diagnosis_.summary()}")

    def _act(self, message: str) -> None:
        if self.on_stuck == "raise":
            raise StuckTrainingError(message, self.diagnosis_)
        if self.on_stuck == "stop":
            self.model.stop_training = True
        warnings.warn(message, StuckTrainingWarning, stacklevel=2)

    def _diagnose(self, epoch: int, logs: dict[str, Any]) -> Diagnosis:
        notes: list[str] = []
        seen: dict[str, Any] = {"epoch": epoch}
        chance = None if self._probe is None else self._probe.chance
        loss = float(logs["loss"]) if "loss" in logs else None
        if loss is not None:
            seen["training_loss"] = plain(loss)
        reading = self._epoch_reading
        if reading is None:
            reading, error = self._try(lambda: read_epoch(self.model))
            notes += [f"The metrics could not be read: {error}"] if error else []
        counts = None if reading is None else right_answers(reading, loss, chance, notes)
        accuracy = None
        if counts is not None:
            accuracy = counts[0] / counts[1]
            seen |= {"training_accuracy": accuracy, "num_samples": counts[1]}
        if self._probe is None or chance is None:
            return Diagnosis(State.TOO_EARLY, evidence=seen, cannot_know=(self._why_no_chance, *notes))
        if counts is None:
            notes.append(
                'No training accuracy (compile with metrics=["accuracy"]), so no statistical statement: only a '
                "gradient of 0 can be recognised."
            )
        else:
            seen |= self._update_test(counts, epoch)
        threshold = 0.5 if counts is None else counts[2]
        finding, error = self._try(lambda: self._look(accuracy, loss, threshold, seen, notes))
        notes += [f"The probe samples could not be looked at: {error}"] if error else []
        state = self._state(finding, accuracy, chance, notes)
        findings = () if finding is None else (finding,)
        return Diagnosis(state, findings=findings, chance=chance, evidence=seen, cannot_know=tuple(notes))

    def _update_test(self, counts: tuple[float, float, float], epoch: int) -> dict[str, float]:
        test = self._test
        test.update(counts[0], counts[1])
        if test.learned and self._learned_epoch is None:
            self._learned_epoch = epoch
        return {
            "wald_statistic": test.statistic,
            "wald_threshold": test.threshold,
            "samples_so_far": test.num_samples,
            "expected_samples": test.expected_samples(),
            "margin": test.margin,
            "false_alarm": test.false_alarm,
        }

    def _at_chance(self, accuracy: float | None, loss: float | None) -> bool:
        """Only then is the gradient looked at: a run that has fitted its data well has none either."""
        if accuracy is not None:
            return accuracy <= self._test.chance + self._test.margin
        if self._probe is None or loss is None or probability_loss(self.model) is None:
            return False
        # Without an accuracy: no better than answering the class shares.
        return loss >= self._probe.chance.cross_entropy

    def _look(
        self,
        accuracy: float | None,
        loss: float | None,
        threshold: float,
        seen: dict[str, Any],
        notes: list[str],
    ) -> Finding | None:
        """The gradient on the probe samples; the finding if it is a certificate."""
        model, probe = self.model, self._probe
        in_a_row, self._zeros_in_a_row = self._zeros_in_a_row, 0
        if probe is None or not self._at_chance(accuracy, loss):
            return None
        steps = (self.params or {}).get("steps")
        known = steps and "num_samples" in seen
        batches = probe.batches(model, math.ceil(seen["num_samples"] / steps) if known else None)
        outputs = probe.outputs(predict(model, batches))
        probe_accuracy = measure_accuracy(outputs, probe.classes, probe.class_weights, threshold)
        seen["probe_accuracy"] = probe_accuracy
        if probe_accuracy > self._test.chance + self._test.margin:
            return None
        gradient_probe = GradientProbe.of(model)
        gradient = gradient_probe.read(batches, _NUM_DRAWS)
        if gradient.num_unconnected:
            notes.append(
                f"{gradient.num_unconnected} of {gradient.num_variables} trainable variables have no connection to the "
                "loss: what their gradient means cannot be known, so no certificate."
            )
        if not gradient.zero:
            return None
        self._zeros_in_a_row = in_a_row + 1
        if self._zeros_in_a_row < _NUM_CHECKS:
            notes.append("The gradient is 0 on every probe sample; the next epoch end will tell whether it stays so.")
            return None
        # Of a label that is a mixture, all classes count: the clip at the likeliest explains nothing.
        loss_kind = None if probe.chance.kind == "probabilities" else probability_loss(model)
        clipped = count_clipped(outputs, probe.classes, keras.config.epsilon())
        rate = float(to_numpy(leaf_optimizers(model.optimizer)[0].learning_rate))
        obstacle = way_out(model, gradient_probe, batches)
        if hasattr(model.optimizer, "inner_optimizer") and not is_saturated(clipped, len(outputs), loss_kind):
            obstacle = "in float16 it may be 0 by underflow, and the loss scale may still grow"
        if obstacle is not None:
            notes.append(f"The gradient is 0 on every probe sample, but that is no certificate: {obstacle}.")
            return None
        reach, _ = self._try(lambda: measure_reach(model, batches, rate))
        return check_standstill(
            Standstill(
                gradient=gradient,
                num_samples=len(outputs),
                num_checks=self._zeros_in_a_row,
                accuracy=accuracy,
                loss=loss,
                loss_kind=loss_kind,
                clipped=clipped,
                units=outputs.shape[1],
                rate=rate,
                reach=reach,
                inputs=probe.inputs,
            )
        )

    def _state(self, finding: Finding | None, accuracy: float | None, chance: Chance, notes: list[str]) -> State:
        if finding is not None:
            return State.FROZEN
        if self._learned_epoch is not None:
            if accuracy is not None and accuracy > chance.accuracy:
                return State.LEARNING
            notes.append(
                f"The training accuracy was above chance by epoch {self._learned_epoch + 1} and is not now: a "
                "collapse after progress is not followed here."
            )
            return State.TOO_EARLY
        return State.AT_CHANCE if self._test.alarm else State.TOO_EARLY

    @staticmethod
    def _try(look: Callable[[], _T]) -> tuple[_T | None, str | None]:
        """What `look` returns, and the error if there was one: a detector must not end the run it watches."""
        try:
            return look(), None
        except Exception as error:  # whatever a user's model may raise
            return None, f"{type(error).__name__}: {error}"
