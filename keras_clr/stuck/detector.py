"""`StuckDetector`: the callback. Asks the observer at each epoch's end, and acts."""

from __future__ import annotations

import warnings
from typing import Any

import keras

from keras_clr._errors import StuckTrainingError, StuckTrainingWarning, attempt
from keras_clr._keras.messages import print_message
from keras_clr._keras.readings import EpochReading, read_epoch
from keras_clr.cyclic.policies import check_choice
from keras_clr.stuck.diagnosis import Diagnosis, State
from keras_clr.stuck.finding import Confidence
from keras_clr.stuck.observer import Observer
from keras_clr.stuck.probe import Probe
from keras_clr.stuck.restart import Restarter
from keras_clr.stuck.sequential import SequentialTest

# States out of which no further training leads.
_LOST = (State.FROZEN, State.DIVERGED)


class StuckDetector(keras.callbacks.Callback):
    """Says when training is stuck, why, and what to change.

    Before the first epoch it compares output layer, loss, metrics, labels and inputs. At the end of every epoch it adds
    the epoch's right answers to Wald's sequential test against chance, which comes from the labels, and looks at the
    probe samples: is the model better than the best answer that does not look at the input? While it is not, it
    takes the gradient of the training loss on them: if that is exactly 0 at two epoch ends in a row for every weight
    (or for every weight that could let the output depend on the input), and the optimizer's momentum leads nowhere
    else, the run is frozen, and only then. A slow run, a rate of 0 and the bottom of a cycle still have a gradient.
    Nothing in the model, the optimizer or the random state changes.

    Args:
        probe_data: Tuple `(x, y)` of inputs and labels as for `fit`, a few hundred samples like the training
            data or more; at most 256, spread over the classes, are kept. Chance comes from all of `y`, so let it
            have the class shares of the training data. For several outputs, `y` is a list or a dict of arrays. Without
            it there is no verdict but "diverged", only a record.
        on_stuck: What to do when the run is frozen or has diverged: "warn" (a `StuckTrainingWarning`, once per fit),
            "stop" (warn and stop training), "raise" (a `StuckTrainingError` with the diagnosis), or "restart" (warn,
            and go on in the same fit with new initial weights, see `max_restarts`). Defaults to "warn". Other troubles
            (a collapse after progress, a head that does not fit its loss) are warned about once each, and so is
            `probe_data` that the model does not take.
        max_restarts: With "restart": how often at most; the next time, training is stopped. All trainable weights are
            drawn anew, with seeds of their own; all other variables, optimizer slots, step count and learning rate
            become what they were when `fit` began, so a `CyclicSchedule` or `CyclicLR` starts its first cycle. Other
            callbacks go on counting. Defaults to 3.
        false_alarm: Bound in (0, 1) on the probability that a run with an accuracy of at least chance + `margin`
            is ever called "at chance so far". Defaults to 1e-3.
        margin: Smallest gain of accuracy over chance that counts as learning. Defaults to a tenth of what there is
            to gain, 0.1 (1 - chance).
        verbose: 0, or 1 to print a line when the state changes. Defaults to 0.

    Attributes:
        diagnosis_: The `Diagnosis` after the last epoch; None before the first.
        stuck_epoch_: 0-based epoch at whose end the run was called frozen or diverged, or None.
        restarts_: The `Diagnosis` that led to each restart.

    Raises:
        ValueError: If an argument is out of range, or the labels are no numbers or all of one class; in `fit`, with
            "restart", if a layer's weights cannot be drawn anew.
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
        max_restarts: int | None = None,
        false_alarm: float = 1e-3,
        margin: float | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__()
        check_choice("on_stuck", on_stuck, ("warn", "stop", "raise", "restart"))
        check_choice("verbose", verbose, (0, 1))
        if max_restarts is not None and on_stuck != "restart":
            raise ValueError(
                f"Argument `max_restarts` is only used with on_stuck='restart'. Received: on_stuck={on_stuck!r}"
            )
        max_restarts = 3 if max_restarts is None else max_restarts
        if isinstance(max_restarts, bool) or not isinstance(max_restarts, int) or max_restarts < 1:
            raise ValueError(
                f"Argument `max_restarts` must be an integer >= 1. Received: max_restarts={max_restarts!r}"
            )
        self.on_stuck = on_stuck
        self.max_restarts = max_restarts
        self.false_alarm = false_alarm
        self.margin = margin
        self.verbose = verbose
        self._probe = Probe.from_argument(probe_data)
        # Checks its arguments; the chance level that counts is known once the model is.
        guess = None if self._probe is None or self._probe.first_guess is None else self._probe.first_guess.accuracy
        SequentialTest(0.5 if guess is None or guess == 1.0 else guess, margin, false_alarm)
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes along: arguments and verdicts. The model stays, and what holds on to it."""
        return {**vars(self), "_model": None, "_observer": None, "_restarter": None, "_reading": None}

    def _forget(self) -> None:
        """State of a fresh fit."""
        self.diagnosis_: Diagnosis | None = None
        self.stuck_epoch_: int | None = None
        self.restarts_: list[Diagnosis] = []
        self._reading: EpochReading | None = None
        self._in_epoch = False
        self._told: set[str] = set()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Starts afresh: nothing of an earlier fit counts. Looks at what can be seen before training."""
        self._forget()
        self._restarter = Restarter(self.model) if self.on_stuck == "restart" else None
        params = self.params or {}  # None in a training loop of one's own.
        self._observer = Observer(
            self.model,
            self._probe,
            margin=self.margin,
            false_alarm=self.false_alarm,
            num_epochs=params.get("epochs"),
            num_batches=params.get("steps"),
        )
        self._tell_certain("before training")

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """From here on, what the metrics count is this epoch."""
        self._reading = None
        self._in_epoch = True

    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Reads what training has counted: validation resets the metrics next."""
        if self._in_epoch and self._reading is None:
            self._reading, _ = attempt(lambda: read_epoch(self.model))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Looks, writes the diagnosis, and acts if the run is lost."""
        self._in_epoch = False
        if self.stuck_epoch_ is not None:
            return
        before = None if self.diagnosis_ is None else self.diagnosis_.state
        self.diagnosis_ = diagnosis = self._observer.observe(epoch, logs or {}, self._reading)
        # Of a model that was built in the first step, only now.
        self._tell_certain("after the first epoch")
        if self.verbose and diagnosis.state is not before:
            print_message(f"\nEpoch {epoch + 1}: StuckDetector: {diagnosis.state.value}")
        if diagnosis.state in _LOST:
            self._act(epoch, diagnosis)
        elif diagnosis.state is State.COLLAPSED:
            self._warn_once(f"Epoch {epoch + 1}: StuckDetector: {diagnosis.summary()}", State.COLLAPSED.value)

    def _act(self, epoch: int, diagnosis: Diagnosis) -> None:
        message = f"Epoch {epoch + 1}: StuckDetector: {diagnosis.summary()}"
        if self._restarter is not None and len(self.restarts_) < self.max_restarts:
            self.restarts_.append(diagnosis)
            self._restarter.restart(len(self.restarts_))
            self._observer.start_anew()
            message += f" Restart {len(self.restarts_)} of at most {self.max_restarts}, with new initial weights."
            warnings.warn(message, StuckTrainingWarning, stacklevel=2)
            return
        self.stuck_epoch_ = epoch
        if self.on_stuck == "raise":
            raise StuckTrainingError(message, diagnosis)
        if self.on_stuck in ("stop", "restart"):
            self.model.stop_training = True
        warnings.warn(message, StuckTrainingWarning, stacklevel=2)

    def _tell_certain(self, when: str) -> None:
        """What is certain without training is worth a warning; what is a hint waits for somebody who asks."""
        diagnosis = Diagnosis(State.NOT_TRAINED, self._observer.findings)
        if diagnosis.findings and diagnosis.findings[0].confidence == Confidence.CERTIFICATE:
            if diagnosis.findings[0].code in self._told:
                return
            message = f"StuckDetector, {when}: {diagnosis.summary()}"
            if self.on_stuck == "raise":
                raise StuckTrainingError(message, diagnosis)
            self._warn_once(message, diagnosis.findings[0].code)
        elif self._observer.misfit is not None:
            # Nothing is known of the training data: no reason to end the run.
            self._warn_once(f"StuckDetector, {when}: {self._observer.misfit}", "misfit")

    def _warn_once(self, message: str, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            warnings.warn(message, StuckTrainingWarning, stacklevel=2)
