"""`CyclicLR`: a policy set batch by batch from a callback."""

from __future__ import annotations

import dataclasses
import math
import warnings
from fractions import Fraction
from typing import Any

import keras

from keras_clr._errors import KerasCLRWarning
from keras_clr._keras.dispatch import end_hooks_in_threads
from keras_clr._keras.learning_rate import learning_rate_writer
from keras_clr._keras.messages import print_message
from keras_clr._keras.optimizers import (
    accumulation_steps,
    build_parts,
    leaf_optimizers,
    rate_source,
    trained_batches,
)
from keras_clr._restarts import restarts_of
from keras_clr.cyclic.arguments import cyclic_policy, half_cycles, plain_arguments
from keras_clr.cyclic.clock import StepClock
from keras_clr.cyclic.history import BoundedHistory
from keras_clr.cyclic.policies import CyclicPolicy, ScaleFn, check_choice
from keras_clr.cyclic.preview import Preview, dead_cycle, flat_rise


class CyclicLR(Preview, keras.callbacks.Callback):
    """Cycles the learning rate between two bounds while a model trains (Smith 2015, arXiv 1506.01186).

    Batch k uses `lr(k)`, k = 0, 1, 2, ...:

        lr(k) = base_lr + (max_lr - base_lr) * wave(k) * scale(k)

    where `wave` climbs from 0 to 1 in `step_size` batches and falls back to 0 in `step_size_down`, and `scale`
    is 1 ("triangular"), 0.5 ** (cycle - 1) ("triangular2"), gamma ** k ("exp_range"), or `scale_fn(cycle or k)`.

    k counts the batches that were really trained; with `gradient_accumulation_steps`, the updates. It starts
    from the optimizer's own count, so a second `fit`, a model loaded from a `.keras` file and a run resumed by
    `BackupAndRestore` (in either list order) go on where the weights are. `initial_epoch` alone moves nothing. With
    `steps_per_execution` above 1 a whole group uses the rate of its first batch; `CyclicSchedule` is exact there,
    and free of cost. All optimizers of a `MultiOptimizer` get the same rate.

    Put it before callbacks that log (`CSVLogger`, `TensorBoard`): it adds `learning_rate`, the rate last used, to
    the epoch's logs.

    Args:
        base_lr: Lower bound of the learning rate, >= 0. Defaults to 0.001.
        max_lr: Upper bound of the learning rate, > 0, not below `base_lr`. Defaults to 0.006.
        step_size: Batches (or epochs, see `step_size_unit`) in which the rate climbs from `base_lr` to `max_lr`:
            half a cycle. A float is taken at its word: 33.3 batches make a cycle of 66.6. At least 1 batch. If the
            rate would get no further than a tenth of the way in all planned epochs, a warning says so.
            Smith recommends 2 to 10 epochs. Defaults to 2000.
        mode: "triangular", "triangular2" (the amplitude halves every cycle) or "exp_range" (the amplitude is
            multiplied by `gamma` every batch; `base_lr` stays). Defaults to "triangular".
        gamma: Factor of "exp_range" in (0, 1]. Defaults to 1.0.
        scale_fn: Function of one number that returns the factor on the amplitude, instead of a `mode`: finite and
            >= 0, or training ends with a ValueError before the rate is set. Defaults to None.
        scale_mode: What `scale_fn` is called with: "cycle" (1, 2, ...) or "iterations" (k). Defaults to "cycle".
        step_size_down: Length of the fall, in the unit of `step_size`. Defaults to `step_size`.
        step_size_unit: "batches", or "epochs": resolved when training starts, which needs data of known length. A
            further `fit` whose epochs have another length starts where the count of batches is in the new cycle.
            Defaults to "batches".
        wave: "linear", or "cosine": (1 - cos) / 2 of the same phase. Defaults to "linear".
        on_external_change: What to do when another callback (say `ReduceLROnPlateau`) changed the rate between
            two epochs: "warn" says once that it will be overwritten; "scale" multiplies the band by what the other
            callback did. Defaults to "warn".
        verbose: 0, or 1 to print the rate at the start of each epoch. Defaults to 0.

    Attributes:
        history: Dict of lists: "step" (0-based) and "learning_rate" (the rate used), also under the older names
            "iterations" and "lr". At most 10,000 entries: longer runs are thinned out evenly.

    Raises:
        ValueError: If an argument is out of range or would be ignored (each message names it); when training
            starts, if the optimizer was built with a schedule, or if epochs of unknown length are the unit.
        TypeError: If an argument has the wrong type.
        RuntimeError: If a training loop of one's own leaves out `set_model` or the hooks of training and epochs.

    Example:
    >>> import keras, keras_clr, numpy as np
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer="sgd", loss="mse")
    >>> clr = keras_clr.CyclicLR(base_lr=0.01, max_lr=0.05, step_size=4)
    >>> _ = model.fit(np.ones((48, 3)), np.ones(48), batch_size=8, verbose=0, callbacks=[clr])
    >>> [round(lr, 4) for lr in clr.history["learning_rate"]]
    [0.01, 0.02, 0.03, 0.04, 0.05, 0.04]
    """

    def __init__(
        self,
        base_lr: float = 0.001,
        max_lr: float = 0.006,
        step_size: float = 2000,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: ScaleFn | None = None,
        scale_mode: str = "cycle",
        *,
        step_size_down: float | None = None,
        step_size_unit: str = "batches",
        wave: str = "linear",
        on_external_change: str = "warn",
        verbose: int = 0,
    ) -> None:
        super().__init__()
        # The batch-end hook only notes a number, so it never makes Keras wait for a step.
        self.async_safe = end_hooks_in_threads()
        check_choice("step_size_unit", step_size_unit, ("batches", "epochs"))
        check_choice("on_external_change", on_external_change, ("warn", "scale"))
        check_choice("verbose", verbose, (0, 1))
        self._in_epochs = step_size_unit == "epochs"
        self._scales_with_others = on_external_change == "scale"
        self._verbose = verbose
        self._checked = cyclic_policy(
            base_lr,
            max_lr,
            step_size,
            mode,
            gamma,
            scale_fn,
            scale_mode,
            step_size_down=step_size_down,
            wave=wave,
            in_epochs=self._in_epochs,
        )
        self._step_sizes = step_size, step_size_down
        self._arguments = {
            **plain_arguments(self._checked, step_size, step_size_down),
            "step_size_unit": step_size_unit,
        }
        self._policy = None if self._in_epochs else self._checked
        self._clock = StepClock()
        self._history = BoundedHistory()
        self._band = 1.0  # What other callbacks did to the rate, when we follow them.
        self._told_of_change = False
        self._end_of_last_fit: tuple[int, int, int] | None = None
        # What hooks ask for that a training loop of one's own may call too early.
        self._begun = self._started = False
        self._epoch_opens = True
        self._last_begun = -1
        self._written: float | None = None
        self._written_before: float | None = None

    @property
    def policy(self) -> CyclicPolicy:
        """The learning rate as a function of the step."""
        if self._policy is None:
            raise ValueError(
                "The length of a cycle is given in epochs (step_size_unit='epochs'), and how many batches an "
                "epoch has is only known when training starts. To see it before, give `step_size` in batches."
            )
        return self._policy

    @property
    def history(self) -> dict[str, list[Any]]:
        """The recorded steps (0-based) and the rates that they used."""
        steps, rates = self._history.steps, self._history.rates
        return {"step": steps, "learning_rate": rates, "iterations": steps, "lr": rates}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Checks optimizer and data before anything is changed."""
        model = self.model
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            raise RuntimeError(
                "CyclicLR needs a compiled model when training begins. In a training loop of your own, compile it and "
                "let `callbacks = keras.callbacks.CallbackList([clr], model=model)` call the hooks, or call "
                f"`clr.set_model(model)` before `clr.on_train_begin()`. Received: model={model!r}"
            )
        build_parts(model)
        for leaf in leaf_optimizers(optimizer):
            source = rate_source(leaf)
            if source is not None:
                raise ValueError(
                    f"CyclicLR sets the learning rate, but the optimizer '{leaf.name}' was built with a schedule: "
                    f"{source!r}. Compile with a float, as in "
                    f"`{type(leaf).__name__}(learning_rate={self._checked.base_lr})`, and keep CyclicLR; or drop "
                    "CyclicLR and build the optimizer with `keras_clr.CyclicSchedule(...)`."
                )
        self._accumulation = accumulation_steps(optimizer)
        self._steps_per_execution = model.steps_per_execution or 1
        params = self.params or {}  # None in a training loop of one's own.
        self._num_batches: int | None = params.get("steps")
        self._epochs: int | None = params.get("epochs")
        if self._in_epochs:
            self._resolve_epochs()
        self._started, self._epoch_opens = False, True
        self._restarts = restarts_of(model)
        self._told_dead = False
        # A model that has been trained is somewhere in its cycle, and a later one may reach the top.
        self._from_step_0 = trained_batches(optimizer) == 0
        self._written = self._written_before = None
        self._warn_if_dead(self._num_batches)
        # Last, because it changes the model on JAX, and even a warning may be an exception.
        self._writer = learning_rate_writer(model)
        self._begun = True

    def _resolve_epochs(self) -> None:
        if self._num_batches is None:
            raise ValueError(
                "step_size_unit='epochs' needs data of known length, and this data does not say how many batches an "
                "epoch has. Pass `steps_per_epoch` to `fit`, or give `step_size` in batches."
            )
        up, down = half_cycles(*self._step_sizes, Fraction(self._num_batches, self._accumulation))
        self._policy = dataclasses.replace(self._checked, step_size_up=up, step_size_down=down)

    def _warn_if_dead(self, num_batches: int | None) -> None:
        if self._told_dead or not num_batches or not self._epochs:
            return
        self._told_dead = True
        updates = num_batches / self._accumulation
        planned = max(1, int(updates * self._epochs))
        message = dead_cycle(self.policy, planned, updates)
        # One epoch at a time is how some loops call `fit`: it says nothing about the length of the training.
        if not message and self._from_step_0 and self._epochs > 1:
            message = flat_rise(self.policy, planned)
        if message:
            warnings.warn(message, KerasCLRWarning, stacklevel=2)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Starts the clock in the first epoch of a fit."""
        if not self._begun:
            raise RuntimeError("CyclicLR: call `on_train_begin()` before the first `on_epoch_begin(epoch)`.")
        # Only now has `BackupAndRestore` restored the count, wherever it stands in the list of callbacks.
        self._counted = trained_batches(self.model.optimizer)
        if not self._started:
            self._started = True
            self._clock.start(self._count_to_start_from())
        elif restarts_of(self.model) != self._restarts:
            self._restarts = restarts_of(self.model)
            self._clock.start(self._counted)
            self._band, self._written = 1.0, None
        self._epoch_opens = True
        self._last_begun = -1
        self._heed_others()
        if self._verbose:
            step = self._clock.epoch_start // self._accumulation
            print_message(
                f"\nEpoch {epoch + 1}: CyclicLR starts at learning rate {self.policy(step) * self._band:.6g} "
                f"(step {step}, cycle {self.policy.cycle(step)})."
            )

    def _count_to_start_from(self) -> int:
        """The optimizer's count, unless nothing happened since our last fit: then our own, which is exact.

        The optimizer misses updates that loss scaling skipped and may count a batch that was not there.
        """
        if self._end_of_last_fit is not None:
            optimizer_id, counted, position = self._end_of_last_fit
            if (optimizer_id, counted) == (id(self.model.optimizer), self._counted):
                return position
        return self._counted

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Sets the rate of this batch (of this group with `steps_per_execution`)."""
        if self._epoch_opens:
            if not self._started:
                raise RuntimeError(
                    "CyclicLR counts by epochs: in a training loop of your own, call `on_train_begin()` once, and "
                    "`on_epoch_begin(epoch)` and `on_epoch_end(epoch)` around the batches of each epoch."
                )
            # Once more: now every other callback has been asked as well, and we overwrite what they did.
            self._epoch_opens = False
            self._heed_others()
        step = (self._clock.epoch_start + batch) // self._accumulation
        rate = self._rate(step)
        self._writer.write(rate)
        self._written_before, self._written = self._written, rate
        self._last_begun = batch
        self._history.append(step, rate)

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
                f" CyclicLR scales its band by such changes: it is now {self._band:.6g} of what was asked for."
                if self._scales_with_others
                else " CyclicLR overwrites it with the next batch: the change has no effect. Pass"
                " on_external_change='scale' to scale the band by what the other callback does, or remove it."
            )
            warnings.warn(what + consequence, KerasCLRWarning, stacklevel=2)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Notes that a batch was really trained."""
        self._clock.batch_ended(batch)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Moves the clock on by what was really trained, and logs the rate that was last used."""
        if self._last_begun >= 0:
            self._close_epoch()
        if logs is not None and self._written is not None:
            logs["learning_rate"] = self._written

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
            self._take_back_rate()
        if self._num_batches is None and length:
            self._warn_if_dead(length)

    def _take_back_rate(self) -> None:
        """Puts the rate of the last trained batch back, so that loggers and saved models hold what was used."""
        self._written = self._written_before
        if self._written is not None:
            self._writer.assign(self._written)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Remembers where the clock stands, for a further `fit` on the same model."""
        if not self._begun:
            return
        self._begun = False
        self._writer.close()
        optimizer = self.model.optimizer
        self._end_of_last_fit = (id(optimizer), trained_batches(optimizer), self._clock.epoch_start)
