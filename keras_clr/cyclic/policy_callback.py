"""A policy set batch by batch from a callback: the hooks of `CyclicLR` and `OneCycleLR`."""

from __future__ import annotations

import math
import warnings
from typing import Any, Generic, TypeVar

from keras_clr._errors import KerasCLRWarning
from keras_clr._keras.api import keras
from keras_clr._keras.dispatch import end_hooks_in_threads, steps_per_execution
from keras_clr._keras.learning_rate import learning_rate_writer
from keras_clr._keras.messages import print_message
from keras_clr._keras.momentum import MomentumWriter, momentum_writer
from keras_clr._keras.optimizers import (
    accumulation_steps,
    build_parts,
    leaf_optimizers,
    name_of,
    rate_source,
    trained_batches,
)
from keras_clr._restarts import restarts_of
from keras_clr.cyclic.clock import StepClock
from keras_clr.cyclic.history import BoundedHistory
from keras_clr.cyclic.policies import Policy, check_choice
from keras_clr.cyclic.preview import Preview

P = TypeVar("P", bound=Policy)


class PolicyCallback(Preview, keras.callbacks.Callback, Generic[P]):
    """Sets what a policy says for each batch that is really trained.

    Its children say which policy, and where it starts.

    Args:
        policy: The policy, or None if it takes the run to know it: then `_plan` sets it.
        cycle_momentum: Whether it has a momentum.
        start_lr: The rate to recommend in the error about an optimizer with a schedule.
        on_external_change: As in `CyclicLR`.
        verbose: As in `CyclicLR`.
    """

    _schedule_name: str  # The class that has the same policy in the graph.
    _unknown: str  # Why the policy is not known before training, and what to do to see it.

    def __init__(
        self, policy: P | None, *, cycle_momentum: bool, start_lr: float, on_external_change: str, verbose: int
    ) -> None:
        super().__init__()
        self.params: dict[str, Any] | None = None  # Keras 2 has none before it sets them.
        # The batch-end hook only notes a number, so it never makes Keras wait for a step.
        self.async_safe = end_hooks_in_threads()
        check_choice("on_external_change", on_external_change, ("warn", "scale"))
        check_choice("verbose", verbose, (0, 1))
        self._name = type(self).__name__
        self._policy = policy
        self._cycle_momentum = cycle_momentum
        self._start_lr = start_lr
        self._scales_with_others = on_external_change == "scale"
        self._verbose = verbose
        self._clock = StepClock()
        self._history = BoundedHistory()
        self._band = 1.0  # What other callbacks did to the rate, when we follow them.
        self._told_of_change = False
        self._end_of_last_fit: tuple[int, int, int] | None = None
        # What hooks ask for that a training loop of one's own may call too early.
        self._begun = self._started = self._first_epoch = False
        self._epoch_opens = True
        self._last_begun = -1
        self._written: float | None = None
        self._written_before: float | None = None
        self._momentum_writer: MomentumWriter | None = None
        self._momentum: float | None = None
        self._momentum_before: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy takes along: arguments and records. The model stays, and what holds on to it."""
        # Keras 3 keeps the model in `_model`, Keras 2 in `model`.
        gone = ("_model", "model", "_writer", "_momentum_writer", "_end_of_last_fit")
        return {name: None if name in gone else value for name, value in vars(self).items()} | {
            "_begun": False,
            "_started": False,
        }

    @property
    def policy(self) -> P:
        """The learning rate as a function of the step, and the momentum, as `policy.momentum(step)`."""
        if self._policy is None:
            raise ValueError(self._unknown)
        return self._policy

    @property
    def history(self) -> dict[str, list[Any]]:
        """The recorded steps (0-based) and what they used."""
        steps, rates = self._history.steps, self._history.rates
        history: dict[str, list[Any]] = {"step": steps, "learning_rate": rates, "iterations": steps, "lr": rates}
        if self._cycle_momentum:
            history["momentum"] = self._history.momenta
        return history

    def _plan(self) -> None:
        """Sets `_policy`, if it takes the run to know it. Nothing has been changed yet, so it may raise."""

    def _warn_of_plan(self, num_batches: int | None) -> None:
        """Says what is wrong with the policy in this run, as soon as the batches of an epoch are known."""

    def _start(self, epoch: int) -> int:  # noqa: ARG002 - `OneCycleLR` goes by it
        """The batches behind us when the first epoch of a `fit` begins.

        The optimizer's count, unless nothing happened since our last fit: then our own, which is exact. The
        optimizer misses updates that loss scaling skipped and may count a batch that was not there.
        """
        if self._end_of_last_fit is not None:
            optimizer_id, counted, position = self._end_of_last_fit
            if (optimizer_id, counted) == (id(self.model.optimizer), self._counted):
                return position
        return self._counted

    def _start_again(self, epoch: int) -> int:  # noqa: ARG002 - `OneCycleLR` goes by it
        """The same when the model has been given a fresh start in mid-training."""
        return self._counted

    def _begin_within(self, batch: int) -> None:
        """Heeds that the first epoch begins with `batch`, as Keras 2 resumes it: the count has what is before it."""
        self._clock.start(self._clock.epoch_start - batch)

    def _where(self, step: int) -> str:
        """Where `step` is, for the message at the start of an epoch."""
        raise NotImplementedError

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Checks optimizer and data before anything is changed."""
        model = self.model
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            raise RuntimeError(
                f"{self._name} needs a compiled model when training begins. In a training loop of your own, compile it "
                "and let `callbacks = keras.callbacks.CallbackList([clr], model=model)` call the hooks, or call "
                f"`clr.set_model(model)` before `clr.on_train_begin()`. Received: model={model!r}"
            )
        build_parts(model)
        for leaf in leaf_optimizers(optimizer):
            source = rate_source(leaf)
            if source is not None:
                raise ValueError(
                    f"{self._name} sets the learning rate, but the optimizer '{name_of(leaf)}' was built with a "
                    f"schedule: {source!r}. Compile with a float, as in "
                    f"`{type(leaf).__name__}(learning_rate={self._start_lr})`, and keep {self._name}; or drop "
                    f"{self._name} and build the optimizer with `keras_clr.{self._schedule_name}(...)`."
                )
        self._accumulation = accumulation_steps(optimizer)
        if self._cycle_momentum and not (self._momentum_writer and self._momentum_writer.serves(model)):
            self._momentum_writer = momentum_writer(model)
        self._steps_per_execution = steps_per_execution(model)
        params = self.params or {}  # None in a training loop of one's own.
        self._num_batches: int | None = params.get("steps")
        self._epochs: int | None = params.get("epochs")
        # A model that has been trained is somewhere in its cycle, and a later one may reach the top.
        self._from_step_0 = trained_batches(optimizer) == 0
        self._plan()
        self._started, self._epoch_opens = False, True
        self._restarts = restarts_of(model)
        self._written = self._written_before = None
        self._momentum = self._momentum_before = None
        self._warn_of_plan(self._num_batches)
        # Last, because it changes the model on JAX, and even a warning may be an exception.
        self._writer = learning_rate_writer(model)
        if self._momentum_writer is not None:
            self._momentum_writer.open()
        self._begun = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Starts the clock in the first epoch of a fit."""
        if not self._begun:
            raise RuntimeError(f"{self._name}: call `on_train_begin()` before the first `on_epoch_begin(epoch)`.")
        # Only now has `BackupAndRestore` restored the count, wherever it stands in the list of callbacks.
        self._counted = trained_batches(self.model.optimizer)
        self._first_epoch = not self._started
        if not self._started:
            self._started = True
            self._clock.start(self._start(epoch))
        elif restarts_of(self.model) != self._restarts:
            self._restarts = restarts_of(self.model)
            self._clock.start(self._start_again(epoch))
            self._band, self._written = 1.0, None
        self._epoch_opens = True
        self._last_begun = -1
        self._heed_others()
        if self._verbose:
            step = self._clock.epoch_start // self._accumulation
            momentum = self.policy.momentum(step)
            print_message(
                f"\nEpoch {epoch + 1}: {self._name} starts at learning rate {self._rate(step):.6g}"
                f"{'' if momentum is None else f', momentum {momentum:.4g}'} ({self._where(step)})."
            )

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Sets rate and momentum of this batch (of this group with `steps_per_execution`)."""
        if self._epoch_opens:
            if not self._started:
                raise RuntimeError(
                    f"{self._name} counts by epochs: in a training loop of your own, call `on_train_begin()` once, and "
                    "`on_epoch_begin(epoch)` and `on_epoch_end(epoch)` around the batches of each epoch."
                )
            # Once more: now every other callback has been asked as well, and we overwrite what they did.
            self._epoch_opens = False
            self._heed_others()
            if self._first_epoch and batch:
                self._begin_within(batch)
        step = (self._clock.epoch_start + batch) // self._accumulation
        rate, momentum = self._rate(step), self.policy.momentum(step)
        self._writer.write(rate)
        if self._momentum_writer is not None and momentum is not None:
            self._momentum_writer.write(momentum)
        self._written_before, self._written = self._written, rate
        self._momentum_before, self._momentum = self._momentum, momentum
        self._last_begun = batch
        self._history.append(step, rate, momentum)

    def _rate(self, step: int) -> float:
        return self.policy(step) * self._band

    def _heed_others(self) -> None:
        if self._written is None:
            return
        found = self._writer.read()
        if math.isclose(found, self._writer.rounded(self._written), rel_tol=1e-6):
            return
        if self._scales_with_others and self._written > 0:
            self._band *= found / self._written
        changed_from, self._written = self._written, found
        if not self._told_of_change:
            self._told_of_change = True
            what = f"Another callback changed the learning rate from {changed_from:.6g} to {found:.6g}."
            consequence = (
                f" {self._name} scales its band by such changes: it is now {self._band:.6g} of what was asked for."
                if self._scales_with_others
                else f" {self._name} overwrites it with the next batch: the change has no effect. Pass"
                " on_external_change='scale' to scale the band by what the other callback does, or remove it."
            )
            warnings.warn(what + consequence, KerasCLRWarning, stacklevel=2)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Notes that a batch was really trained."""
        self._clock.batch_ended(batch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Moves the clock on by what was really trained, and logs what was last used."""
        if self._last_begun >= 0:
            self._close_epoch()
        if logs is not None and self._written is not None:
            logs["learning_rate"] = self._written
            if self._cycle_momentum:
                logs["momentum"] = self._momentum

    def _close_epoch(self) -> None:
        counted = trained_batches(self.model.optimizer) - self._counted
        length = self._clock.end_epoch(
            num_batches=self._num_batches,
            steps_per_execution=self._steps_per_execution,
            counted=counted,
        )
        if length <= self._last_begun:
            # The last begin hook was for a batch that was not there: nothing used its rate.
            self._history.forget_last()
            self._take_back()
        if self._num_batches is None and length:
            self._warn_of_plan(length)

    def _take_back(self) -> None:
        """Puts the rate of the last trained batch back, so that loggers and saved models hold what was used."""
        self._momentum = self._momentum_before
        self._written = self._written_before
        if self._written is not None:
            self._writer.assign(self._written)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Remembers where the clock stands, for a further `fit` on the same model."""
        if not self._begun:
            return
        self._begun = False
        if self._momentum_writer is not None:
            self._momentum_writer.close()
        self._writer.close()
        optimizer = self.model.optimizer
        self._end_of_last_fit = (id(optimizer), trained_batches(optimizer), self._clock.epoch_start)
