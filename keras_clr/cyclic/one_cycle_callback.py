"""`OneCycleLR`: one cycle over a run, set batch by batch."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

from keras_clr._errors import KerasCLRWarning
from keras_clr._keras.optimizers import trained_batches
from keras_clr.cyclic.arguments import MOMENTUM_BOUNDS, checked_momentum, plain_momentum
from keras_clr.cyclic.one_cycle import OneCyclePolicy, fewest_steps, one_cycle_policy, one_cycle_shape
from keras_clr.cyclic.policy_callback import PolicyCallback


class OneCycleLR(PolicyCallback[OneCyclePolicy]):
    """One cycle of learning rate and momentum over a whole run (Smith 2018, arXiv 1803.09820; "1cycle").

    The rate starts at `max_lr / div_factor`, rises to `max_lr`, and falls to a value far below where it began, while
    momentum falls from `max_momentum` to `base_momentum` and comes back. Use it when you know how long you will train:

        initial = max_lr / div_factor,   smallest = initial / final_div_factor
        two phases:    initial -> max_lr in the first `pct_start` of the steps -> smallest at the last step
        three phases:  initial -> max_lr -> initial, both in `pct_start` of the steps, -> smallest

    One batch gets exactly `max_lr`, the last one exactly the smallest rate. After the end, it stays there.

    Without `total_steps`, the run is the cycle: all epochs of `fit`, where `initial_epoch` and an epoch restored by
    `BackupAndRestore` count as done. A further `fit` is a further cycle, whatever the optimizer has counted. With
    `total_steps`, the cycle may be spread over several calls of `fit`: the step is the optimizer's count, as in
    `CyclicLR`. Steps are batches, and updates under gradient accumulation. With `steps_per_execution` above 1 a whole
    group uses what its first batch should: `OneCycleSchedule` is exact there, but has no momentum.

    Put it before callbacks that log: it adds `learning_rate` and `momentum`, as last used, to the epoch's logs.

    Args:
        max_lr: The highest learning rate, > 0. `find_lr` measures what a model can bear.
        total_steps: Steps in the cycle, at least 3 (4 with three phases). None takes epochs times batches per epoch
            from `fit`, which needs data of known length. Defaults to None.
        pct_start: Share of the steps in the rise, in (0, 1), below 0.5 with three phases. Defaults to 0.3 (0.25
            with preset="fastai").
        div_factor: `max_lr` / initial rate, >= 1. Defaults to 25.
        final_div_factor: Initial rate / smallest rate, > 0. Defaults to 1e4 (with preset="fastai" to
            1e5 / div_factor: its `div_final` is `max_lr` / smallest rate).
        wave: "cosine" or "linear", for rate and momentum. Defaults to "cosine".
        three_phase: Whether the fall ends at the initial rate, and a last phase leads to the smallest one, at
            `max_momentum`. Defaults to False.
        cycle_momentum: Whether momentum cycles, as in `CyclicLR`: `momentum` or `beta_1`, opposite to the rate.
            Defaults to True.
        base_momentum: Momentum at the peak, in [0, 1). Defaults to 0.85.
        max_momentum: Momentum at start and end, in [0, 1), not below `base_momentum`. Defaults to 0.95.
        preset: None: the phases end at whole steps. "pytorch" and "fastai" reproduce the numbers of
            `torch.optim.lr_scheduler.OneCycleLR` and `Learner.fit_one_cycle`, whose phases end between two steps: the
            peak may fall between two batches, and fastai's end just after the run. Defaults to None.
        on_external_change: As in `CyclicLR`. Defaults to "warn".
        verbose: 0, or 1 to print rate and momentum at the start of each epoch. Defaults to 0.

    Attributes:
        history: Dict of lists: "step", "learning_rate" and "momentum" (if it cycles), as in `CyclicLR`.

    Raises:
        ValueError: If an argument is out of range or would be ignored; when training starts, if the length of the run
            is not known or too short, or the optimizer has a schedule, or no momentum that could cycle.
        TypeError: If an argument has the wrong type.
        RuntimeError: As in `CyclicLR`.

    Example:
    >>> import keras, keras_clr, numpy as np
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer=keras.optimizers.SGD(momentum=0.9), loss="mse")
    >>> one_cycle = keras_clr.OneCycleLR(max_lr=0.1, div_factor=10, wave="linear", pct_start=0.5)
    >>> _ = model.fit(np.ones((24, 3)), np.ones(24), batch_size=8, epochs=2, verbose=0, callbacks=[one_cycle])
    >>> [round(lr, 4) for lr in one_cycle.history["learning_rate"]]
    [0.01, 0.055, 0.1, 0.0667, 0.0333, 0.0]
    >>> [round(momentum, 3) for momentum in one_cycle.history["momentum"]]
    [0.95, 0.9, 0.85, 0.883, 0.917, 0.95]
    """

    _schedule_name = "OneCycleSchedule"
    _unknown = (
        "The cycle takes the length of the run (total_steps=None), which is only known when training starts. To see "
        "it before, give `total_steps`."
    )
    _not_shown: ClassVar[dict[str, Any]] = {
        "total_steps": None,
        "three_phase": False,
        "preset": None,
        **plain_momentum(MOMENTUM_BOUNDS),
    }

    def __init__(
        self,
        max_lr: float,
        total_steps: int | None = None,
        *,
        pct_start: float | None = None,
        div_factor: float | None = None,
        final_div_factor: float | None = None,
        wave: str = "cosine",
        three_phase: bool = False,
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        preset: str | None = None,
        on_external_change: str = "warn",
        verbose: int = 0,
    ) -> None:
        self._shape = one_cycle_shape(max_lr, pct_start, div_factor, final_div_factor, wave, three_phase, preset)
        self._bounds = checked_momentum(cycle_momentum, base_momentum, max_momentum)
        self._takes_the_run = total_steps is None
        policy = None if total_steps is None else self._over(total_steps)
        super().__init__(
            policy,
            cycle_momentum=cycle_momentum,
            start_lr=self._shape["max_lr"] / self._shape["div_factor"],
            on_external_change=on_external_change,
            verbose=verbose,
        )
        self._arguments = {
            "max_lr": self._shape["max_lr"],
            "total_steps": None if policy is None else policy.total_steps,
            **self._shape,
            **plain_momentum(self._bounds),
        }

    def _over(self, total_steps: int) -> OneCyclePolicy:
        return one_cycle_policy(self._shape, total_steps, self._bounds)

    def _plan(self) -> None:
        if not self._takes_the_run:
            self._warn_if_over()
            return
        if self._num_batches is None or self._epochs is None:
            raise ValueError(
                "OneCycleLR without `total_steps` needs a run of known length, and this data does not say how many "
                "batches an epoch has. Pass `steps_per_epoch` to `fit`, or `total_steps` to OneCycleLR."
            )
        self._run = self._epochs, self._num_batches
        self._policy = self._over(self._updates(self._epochs))

    def _warn_if_over(self) -> None:
        step = trained_batches(self.model.optimizer) // self._accumulation
        if step >= self.policy.total_steps:
            warnings.warn(
                f"The optimizer has already made {step} steps, and the cycle has {self.policy.total_steps}: the "
                f"learning rate stays at its end, {self.policy.min_lr:.3g}. Leave `total_steps` out to make each `fit` "
                "a cycle, or compile the model anew.",
                KerasCLRWarning,
                stacklevel=2,
            )

    def _updates(self, epochs: int) -> int:
        return epochs * self._run[1] // self._accumulation

    def _start(self, epoch: int) -> int:
        return epoch * self._run[1] if self._takes_the_run else super()._start(epoch)

    def _start_again(self, epoch: int) -> int:
        if not self._takes_the_run:
            return super()._start_again(epoch)
        # What is left of the run is a cycle of its own, and never an error in mid-training.
        left = max(self._updates(self._run[0] - epoch), fewest_steps(self._shape["three_phase"]))
        self._policy = self._over(left)
        return 0

    def _begin_within(self, batch: int) -> None:
        if not self._takes_the_run:  # Else the clock was started by the epoch.
            super()._begin_within(batch)

    def _where(self, step: int) -> str:
        return f"step {step} of {self.policy.total_steps}"
