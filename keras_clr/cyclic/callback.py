"""`CyclicLR`: a cyclical policy set batch by batch."""

from __future__ import annotations

import dataclasses
import warnings
from fractions import Fraction

from keras_clr._errors import KerasCLRWarning
from keras_clr.cyclic.arguments import checked_momentum, cyclic_policy, half_cycles, plain_arguments, plain_momentum
from keras_clr.cyclic.policies import CyclicPolicy, ScaleFn, check_choice
from keras_clr.cyclic.policy_callback import PolicyCallback
from keras_clr.cyclic.preview import dead_cycle, flat_rise


class CyclicLR(PolicyCallback[CyclicPolicy]):
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
    the epoch's logs, and `momentum` with `cycle_momentum`.

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
        cycle_momentum: Whether momentum cycles opposite to the rate, as in PyTorch's CyclicLR: `max_momentum` at
            `base_lr`, `base_momentum` at the top of a full cycle. That is `momentum` of SGD, RMSprop and Muon, `beta_1`
            of Adam and its relatives. Compiled steps use it as well; between two steps the optimizer shows its own.
            Defaults to False.
        base_momentum: Lower bound of the momentum, in [0, 1). Defaults to 0.85.
        max_momentum: Upper bound of the momentum, in [0, 1), not below `base_momentum`. Defaults to 0.95.
        on_external_change: What to do when another callback (say `ReduceLROnPlateau`) changed the rate between
            two epochs: "warn" says once that it will be overwritten; "scale" multiplies the band by what the other
            callback did. Defaults to "warn".
        verbose: 0, or 1 to print the rate at the start of each epoch. Defaults to 0.

    Attributes:
        history: Dict of lists: "step" (0-based) and "learning_rate" (the rate used), also under the older names
            "iterations" and "lr"; with `cycle_momentum`, "momentum". At most 10,000 entries: longer runs are thinned
            out evenly.

    Raises:
        ValueError: If an argument is out of range or would be ignored (each message names it); when training
            starts, if the optimizer was built with a schedule, has no momentum that could cycle, or if epochs of
            unknown length are the unit.
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

    _schedule_name = "CyclicSchedule"
    _unknown = (
        "The length of a cycle is given in epochs (step_size_unit='epochs'), and how many batches an "
        "epoch has is only known when training starts. To see it before, give `step_size` in batches."
    )

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
        cycle_momentum: bool = False,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        on_external_change: str = "warn",
        verbose: int = 0,
    ) -> None:
        check_choice("step_size_unit", step_size_unit, ("batches", "epochs"))
        self._in_epochs = step_size_unit == "epochs"
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
            momentum_bounds=checked_momentum(cycle_momentum, base_momentum, max_momentum),
        )
        super().__init__(
            None if self._in_epochs else self._checked,
            cycle_momentum=cycle_momentum,
            start_lr=self._checked.base_lr,
            on_external_change=on_external_change,
            verbose=verbose,
        )
        self._step_sizes = step_size, step_size_down
        self._arguments = {
            **plain_arguments(self._checked, step_size, step_size_down),
            "step_size_unit": step_size_unit,
            **plain_momentum(self._checked.momentum_bounds),
        }

    def _plan(self) -> None:
        self._told_dead = False
        if not self._in_epochs:
            return
        if self._num_batches is None:
            raise ValueError(
                "step_size_unit='epochs' needs data of known length, and this data does not say how many batches an "
                "epoch has. Pass `steps_per_epoch` to `fit`, or give `step_size` in batches."
            )
        up, down = half_cycles(*self._step_sizes, Fraction(self._num_batches, self._accumulation))
        self._policy = dataclasses.replace(self._checked, step_size_up=up, step_size_down=down)

    def _warn_of_plan(self, num_batches: int | None) -> None:
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

    def _where(self, step: int) -> str:
        return f"step {step}, cycle {self.policy.cycle(step)}"
