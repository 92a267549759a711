"""See a cycle before paying for a run: `simulate`, `plot`, and a warning about a cycle that dies."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from keras_clr._plotting import line_plot
from keras_clr.cyclic.arguments import plain_momentum
from keras_clr.cyclic.policies import CyclicPolicy, Policy

DEAD = 1e-3  # An amplitude below this share of max_lr - base_lr is no cycle any more.
CYCLIC_DEFAULTS = {
    "gamma": 1.0,
    "scale_fn": None,
    "scale_mode": "cycle",
    "step_size_down": None,
    "step_size_unit": "batches",
    "wave": "linear",
    "gradient_accumulation_steps": None,
    **plain_momentum(None),
}
FLAT = 0.1  # A rise that ends below this share of it was planned for another run.


class Preview:
    """`simulate`, `plot` and a representation for what has a `policy`."""

    _arguments: dict[str, Any]  # The constructor's.
    _not_shown: ClassVar[dict[str, Any]] = CYCLIC_DEFAULTS  # What a representation leaves out.

    @property
    def policy(self) -> Policy:
        """The learning rate as a function of the step."""
        raise NotImplementedError  # Each front end has its own.

    def __repr__(self) -> str:
        shown = [
            f"{name}={value!r}"
            for name, value in self._arguments.items()
            if name not in self._not_shown or value != self._not_shown[name]
        ]
        return f"{type(self).__name__}({', '.join(shown)})"

    def simulate(self, num_steps: int) -> np.ndarray:
        """Learning rates of the first `num_steps` steps (batches; updates under accumulation).

        Args:
            num_steps: Number of steps, >= 1.

        Returns:
            Float64 array of shape (num_steps,): entry k is the rate that batch k uses.

        Raises:
            ValueError: If `num_steps` is not a positive integer, or the length of a cycle in batches is not
                known yet.

        Example:
        >>> import keras_clr
        >>> keras_clr.CyclicLR(base_lr=1.0, max_lr=5.0, step_size=4).simulate(6).tolist()
        [1.0, 2.0, 3.0, 4.0, 5.0, 4.0]
        """
        if isinstance(num_steps, bool) or not isinstance(num_steps, (int, np.integer)) or num_steps < 1:
            raise ValueError(f"Argument `num_steps` must be a positive integer. Received: num_steps={num_steps!r}")
        policy = self.policy
        return np.array([policy(step) for step in range(num_steps)])

    def plot(self, ax: Any = None, *, num_steps: int | None = None) -> Any:
        """Draws the learning rate over the steps, without any model.

        Args:
            ax: Matplotlib Axes to draw on; a new figure's when None.
            num_steps: Steps to draw; four cycles, or the one cycle, when None.

        Returns:
            The Axes. Nothing is shown: call `matplotlib.pyplot.show()` for that.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        if num_steps is None:
            num_steps = self.policy.steps_to_show
        rates = self.simulate(num_steps)
        return line_plot(np.arange(num_steps), rates, ax=ax, xlabel="step", ylabel="learning rate")


def dead_cycle(policy: CyclicPolicy, planned_steps: int, steps_per_epoch: float) -> str | None:
    """Says that and when a cycle's amplitude is gone before the planned end.

    Args:
        policy: The cycle.
        planned_steps: The step at which training is planned to end.
        steps_per_epoch: Steps in an epoch.

    Returns:
        A sentence with the numbers, or None if the cycle lives to the end.
    """
    if policy.max_lr == policy.base_lr and policy.momentum_bounds is None:
        return f"base_lr and max_lr are both {policy.base_lr:g}: the learning rate never changes."
    cycles_per_epoch = steps_per_epoch / policy.period
    if policy.mode == "triangular2":
        # 0.5 ** (cycle - 1) falls below DEAD at the start of this cycle.
        dead_from = math.ceil(math.log2(1 / DEAD)) * policy.period
        several_a_epoch = cycles_per_epoch >= 2 and planned_steps >= 2 * steps_per_epoch
        if dead_from < planned_steps or several_a_epoch:
            last = policy.scale(planned_steps - 1)
            return (
                f"mode='triangular2' halves the amplitude every cycle of {policy.period:g} batches. With "
                f"{cycles_per_epoch:.3g} cycles an epoch it is {policy.scale(round(steps_per_epoch)):.2g} of "
                f"the full band after one epoch and {last:.2g} at the planned end (batch {planned_steps}): the "
                "learning rate stays at base_lr. Use a step_size of several epochs, or mode='triangular'."
            )
    elif policy.mode == "exp_range" and policy.gamma < 1:
        dead_from = math.log(DEAD) / policy.log_gamma
        if dead_from < planned_steps:
            alive = math.exp(math.log(0.1) / planned_steps)
            return (
                f"mode='exp_range' with gamma={policy.gamma:g} leaves less than 0.1 % of the amplitude from "
                f"batch {dead_from:.0f} of {planned_steps} planned ones on: the learning rate stays at base_lr. "
                f"gamma={alive:.8g} would leave a tenth of it at the end."
            )
    elif policy.scale_fn is not None:
        try:
            last = policy.scale(planned_steps - 1)
        except ValueError:  # It has no value there: training says so if it gets there.
            return None
        if last < DEAD:
            return (
                f"scale_fn leaves {last:.2g} of the amplitude at the planned end (batch {planned_steps}): the learning "
                "rate stays at base_lr there."
            )
    return None


def flat_rise(policy: CyclicPolicy, planned_steps: int) -> str | None:
    """Says that a run from step 0 ends long before the rate has climbed.

    Args:
        policy: The cycle.
        planned_steps: The step at which training is planned to end.

    Returns:
        A sentence with the numbers, or None if the rate gets further than a tenth of the way.
    """
    last = planned_steps - 1
    share = policy.height(last)
    # A scale_fn may make up for it; the modes only shrink.
    if policy.scale_fn is not None or last >= policy.step_size_up or share > FLAT:
        return None
    top = policy.base_lr + (policy.max_lr - policy.base_lr) * share
    return (
        f"step_size={float(policy.step_size_up):g} batches is longer than the whole run: in the {planned_steps} "
        f"planned batches the learning rate gets no further than {top:.3g}, {share:.1%} of the way from base_lr="
        f"{policy.base_lr:g} to max_lr={policy.max_lr:g}. step_size={max(1, planned_steps // 2)} would make one whole "
        "cycle."
    )
