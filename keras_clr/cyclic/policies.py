"""The cyclical learning rate as a pure function of the step: float64, stateless, no Keras.

Everything else (callback, in-graph schedule, `simulate`, `plot`) asks this file, so there is one formula:

    lr(t) = base_lr + (max_lr - base_lr) * wave(t) * scale(t)          t = 0, 1, 2, ...

`wave` climbs from 0 to 1 in `step_size_up` steps and returns to 0 in `step_size_down` steps (Smith 2015,
arXiv 1506.01186; different lengths as in PyTorch's CyclicLR). `scale` shrinks the amplitude only: base_lr
stays, as in every implementation (the paper's text lets both bounds of exp_range decline).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Protocol

LAST_STEP = 2**31 - 1  # The largest value of a 32-bit `optimizer.iterations`.

ScaleFn = Callable[[float], float]
MomentumBounds = tuple[float, float]  # Lower and upper.
_SCALE_FN = "Argument `scale_fn` must return a finite number >= 0."


class Policy(Protocol):
    """What the front ends ask of a policy."""

    @property
    def steps_to_show(self) -> int:
        """How many steps a picture of it needs."""

    def __call__(self, step: int) -> float:
        """The learning rate of `step` (0-based)."""

    def momentum(self, step: int) -> float | None:
        """The momentum of `step`; None if it does not cycle."""


@dataclass(frozen=True)
class CyclicPolicy:
    """A cyclical learning rate. Call it with a step; `cyclic_policy` builds one.

    The period is kept as a whole number of steps over a small denominator, so that the position in the
    cycle is found by integer arithmetic at any step: a float32 quotient is off by 1.8 % of the amplitude
    at step 2**24 and by two thirds at 1e9.
    """

    base_lr: float
    max_lr: float
    step_size_up: Fraction
    step_size_down: Fraction
    mode: str = "triangular"
    gamma: float = 1.0
    scale_fn: ScaleFn | None = None
    scale_mode: str = "cycle"
    wave: str = "linear"
    momentum_bounds: MomentumBounds | None = None

    @cached_property
    def ticks_per_step(self) -> int:
        """How many ticks a step is divided into so that up and down are whole numbers of ticks."""
        return math.lcm(self.step_size_up.denominator, self.step_size_down.denominator)

    @cached_property
    def up_ticks(self) -> int:
        """Length of the rise in ticks."""
        return int(self.step_size_up * self.ticks_per_step)

    @cached_property
    def period_ticks(self) -> int:
        """Length of a whole cycle in ticks."""
        return int((self.step_size_up + self.step_size_down) * self.ticks_per_step)

    @property
    def period(self) -> float:
        """Steps in a whole cycle."""
        return self.period_ticks / self.ticks_per_step

    @property
    def steps_to_show(self) -> int:
        """Four cycles."""
        return math.ceil(4 * self.period) + 1

    @cached_property
    def log_gamma(self) -> float:
        """Natural logarithm of `gamma`: exp(t log gamma) keeps its accuracy where gamma**t loses it."""
        return math.log(self.gamma)

    def __call__(self, step: int) -> float:
        """The learning rate of `step` (0-based)."""
        cycle, position = divmod(step * self.ticks_per_step, self.period_ticks)
        amplitude = (self.max_lr - self.base_lr) * self._scale(step, cycle + 1)
        return self.base_lr + amplitude * self._wave(position)

    def momentum(self, step: int) -> float | None:
        """The momentum of `step`, opposite to the rate: the upper bound at `base_lr`. None if it does not cycle.

        Raises:
            ValueError: If a `scale_fn` above 1 would take it below 0.
        """
        if self.momentum_bounds is None:
            return None
        lower, upper = self.momentum_bounds
        momentum = upper - (upper - lower) * self.height(step) * self.scale(step)
        if momentum < 0:
            raise ValueError(
                f"{_SCALE_FN} With cycle_momentum=True it scales the momentum as well, which would be {momentum:.3g} "
                f"at step {step}. Received: scale_fn={self.scale_fn!r}"
            )
        return momentum

    def cycle(self, step: int) -> int:
        """The 1-based number of the cycle that `step` belongs to."""
        return step * self.ticks_per_step // self.period_ticks + 1

    def scale(self, step: int) -> float:
        """The factor on the amplitude at `step`: 1 means the full band."""
        return self._scale(step, self.cycle(step))

    def height(self, step: int) -> float:
        """The wave at `step`: 0 at `base_lr`, 1 at the top of the cycle."""
        return self._wave(step * self.ticks_per_step % self.period_ticks)

    def _wave(self, position: int) -> float:
        """The wave between 0 and 1 at `position` ticks into the cycle."""
        if position <= self.up_ticks:
            height = position / self.up_ticks
        else:
            height = (self.period_ticks - position) / (self.period_ticks - self.up_ticks)
        if self.wave == "cosine":
            # sin^2(pi h / 2) = (1 - cos(pi h)) / 2 without the cancellation near 0.
            height = math.sin(0.5 * math.pi * height) ** 2
        return height

    def _scale(self, step: int, cycle: int) -> float:
        if self.scale_fn is not None:
            return scale_value(self.scale_fn, cycle if self.scale_mode == "cycle" else step)
        if self.mode == "triangular2":
            return math.ldexp(1.0, 1 - cycle)  # 0.5 ** (cycle - 1), never an overflow
        if self.mode == "exp_range":
            return math.exp(step * self.log_gamma)
        return 1.0


def scale_value(scale_fn: ScaleFn, argument: int) -> float:
    """What `scale_fn` returns, checked: every rate of a training goes through here before it is set."""
    try:
        value = scale_fn(argument)
    except Exception as error:  # whatever a user's function may raise
        raise ValueError(f"{_SCALE_FN} Received: scale_fn({argument}) raised {error!r}") from error
    try:
        scale = as_float(value)
    except (TypeError, ValueError):
        scale = math.nan
    if not 0.0 <= scale < math.inf:
        raise ValueError(f"{_SCALE_FN} Received: scale_fn({argument}) = {value!r}")
    return scale


def as_float(value: object) -> float:
    """`float(value)`, but text is no number."""
    if isinstance(value, (str, bytes, bytearray)):
        raise TypeError("text")
    return float(value)  # type: ignore[arg-type]  # what is no number raises


def check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuses a value that is not among the `allowed` ones, naming argument and value."""
    try:
        known = value in frozenset(allowed)
    except TypeError:  # No hash: an array, say, which would answer `==` for each of its entries.
        known = False
    if not known:
        names = ", ".join(repr(a) for a in allowed)
        raise ValueError(f"Argument `{name}` must be one of {names}. Received: {name}={value!r}")
