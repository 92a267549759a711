"""The cyclical learning rate as a pure function of the step: float64, stateless, no Keras.

Everything else (callback, in-graph schedule, `simulate`, `plot`) asks this file, so there is one formula:

    lr(t) = base_lr + (max_lr - base_lr) * wave(t) * scale(t)          t = 0, 1, 2, ...

`wave` climbs from 0 to 1 in `step_size_up` steps and returns to 0 in `step_size_down` steps (Smith 2015,
arXiv 1506.01186; different lengths as in PyTorch's CyclicLR). `scale` shrinks the amplitude only: base_lr
stays, as in every implementation (the paper's text lets both bounds of exp_range decline).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from keras_clr._errors import KerasCLRWarning

MODES = ("triangular", "triangular2", "exp_range")
SCALE_MODES = ("cycle", "iterations")
WAVES = ("linear", "cosine")
LAST_STEP = 2**31 - 1  # The largest value of a 32-bit `optimizer.iterations`.
LONGEST = LAST_STEP // 4  # Batches in half a cycle: the whole cycle still fits into 32 bits.

ScaleFn = Callable[[float], float]


@dataclass(frozen=True)
class CyclicPolicy:
    """A cyclical learning rate. Call it with a step, or build one with `cyclic_policy`.

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

    @cached_property
    def log_gamma(self) -> float:
        """Natural logarithm of `gamma`: exp(t log gamma) keeps its accuracy where gamma**t loses it."""
        return math.log(self.gamma)

    def __call__(self, step: int) -> float:
        """The learning rate of `step` (0-based)."""
        cycle, position = divmod(step * self.ticks_per_step, self.period_ticks)
        amplitude = (self.max_lr - self.base_lr) * self._scale(step, cycle + 1)
        return self.base_lr + amplitude * self._wave(position)

    def cycle(self, step: int) -> int:
        """The 1-based number of the cycle that `step` belongs to."""
        return step * self.ticks_per_step // self.period_ticks + 1

    def scale(self, step: int) -> float:
        """The factor on the amplitude at `step`: 1 means the full band."""
        return self._scale(step, self.cycle(step))

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
            return float(self.scale_fn(cycle if self.scale_mode == "cycle" else step))
        if self.mode == "triangular2":
            return math.ldexp(1.0, 1 - cycle)  # 0.5 ** (cycle - 1), never an overflow
        if self.mode == "exp_range":
            return math.exp(step * self.log_gamma)
        return 1.0


def cyclic_policy(
    base_lr: float,
    max_lr: float,
    step_size: float,
    mode: str = "triangular",
    gamma: float = 1.0,
    scale_fn: ScaleFn | None = None,
    scale_mode: str = "cycle",
    *,
    step_size_down: float | None = None,
    wave: str = "linear",
    steps_per_unit: Fraction = Fraction(1),
) -> CyclicPolicy:
    """Checks the arguments that `CyclicLR` and `CyclicSchedule` share and builds their policy.

    Args:
        base_lr: Lower bound of the learning rate, >= 0.
        max_lr: Upper bound of the learning rate, >= base_lr, > 0.
        step_size: Length of the rise in units of `steps_per_unit` steps; at least one step.
        mode: "triangular", "triangular2" or "exp_range".
        gamma: Base of "exp_range", in (0, 1].
        scale_fn: Custom factor on the amplitude, instead of a `mode`.
        scale_mode: What `scale_fn` is called with: "cycle" (1-based) or "iterations" (0-based).
        step_size_down: Length of the fall; as `step_size` when None.
        wave: "linear" or "cosine".
        steps_per_unit: Steps in one unit of `step_size`: 1 for batches, the epoch's length for epochs.

    Returns:
        The `CyclicPolicy`.

    Raises:
        ValueError: If an argument is out of range, or would be ignored.
        TypeError: If a number is not a number or `scale_fn` is not callable.
    """
    base_lr = _number("base_lr", base_lr)
    max_lr = _number("max_lr", max_lr)
    gamma = _number("gamma", gamma)
    if base_lr < 0:
        raise ValueError(f"Argument `base_lr` must be >= 0. Received: base_lr={base_lr}")
    if max_lr <= 0 or max_lr < base_lr:
        raise ValueError(
            f"Argument `max_lr` must be > 0 and not below `base_lr`. Received: base_lr={base_lr}, max_lr={max_lr}"
        )
    check_choice("mode", mode, MODES)
    check_choice("scale_mode", scale_mode, SCALE_MODES)
    check_choice("wave", wave, WAVES)
    if not 0 < gamma <= 1:
        raise ValueError(
            f"Argument `gamma` must be in (0, 1]. Received: gamma={gamma}. "
            "The amplitude of 'exp_range' is multiplied by gamma at every step."
        )
    _refuse_ignored(mode, gamma, scale_fn, scale_mode)
    if mode == "exp_range" and gamma == 1.0:
        warnings.warn(
            "mode='exp_range' with gamma=1.0 never shrinks: it is 'triangular'. Give a gamma below 1.",
            KerasCLRWarning,
            stacklevel=3,
        )
    if scale_fn is not None:
        _check_scale_fn(scale_fn, scale_mode)
    up, down = half_cycles(step_size, step_size_down, steps_per_unit)
    return CyclicPolicy(base_lr, max_lr, up, down, mode, gamma, scale_fn, scale_mode, wave)


def half_cycles(step_size: float, step_size_down: float | None, steps_per_unit: Fraction) -> tuple[Fraction, Fraction]:
    """Lengths of rise and fall in steps; arguments and errors as in `cyclic_policy`."""
    up = _length("step_size", step_size, steps_per_unit)
    return _countable(up, up if step_size_down is None else _length("step_size_down", step_size_down, steps_per_unit))


def check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Refuses a value that is not among the `allowed` ones, naming argument and value."""
    if value not in allowed:
        names = ", ".join(repr(a) for a in allowed)
        raise ValueError(f"Argument `{name}` must be one of {names}. Received: {name}={value!r}")


def _number(name: str, value: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"Argument `{name}` must be a number. Received: {name}={value!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"Argument `{name}` must be finite. Received: {name}={value}")
    return number


def _refuse_ignored(mode: str, gamma: float, scale_fn: ScaleFn | None, scale_mode: str) -> None:
    """An argument that would change nothing is a misunderstanding: say so instead of ignoring it."""
    if scale_fn is None:
        if gamma != 1.0 and mode != "exp_range":
            raise ValueError(
                f"Argument `gamma` is only used by mode='exp_range'. Received: gamma={gamma}, "
                f"mode={mode!r}. Use mode='exp_range', or leave `gamma` out."
            )
        if scale_mode != "cycle":
            raise ValueError(
                "Argument `scale_mode` is only used together with `scale_fn`. Received: "
                f"scale_mode={scale_mode!r}, scale_fn=None. 'triangular2' always shrinks by cycle and "
                "'exp_range' always by iteration: leave `scale_mode` out, or give a `scale_fn`."
            )
        return
    if mode != "triangular":
        raise ValueError(
            "Argument `mode` would be ignored, because `scale_fn` replaces it. Received: "
            f"mode={mode!r} together with a `scale_fn`. Give one of the two."
        )
    if gamma != 1.0:
        raise ValueError(
            "Argument `gamma` would be ignored, because `scale_fn` replaces the mode that uses it. "
            f"Received: gamma={gamma} together with a `scale_fn`. Use gamma inside `scale_fn`."
        )


def _check_scale_fn(scale_fn: ScaleFn, scale_mode: str) -> None:
    if not callable(scale_fn):
        raise TypeError(f"Argument `scale_fn` must be callable. Received: scale_fn={scale_fn!r}")
    first = 1 if scale_mode == "cycle" else 0
    try:
        value = scale_fn(first)
    except (ArithmeticError, ValueError) as error:  # As 1 / x and log(x) do at the first step, which is 0.
        raise ValueError(
            f"Argument `scale_fn` must return a finite number. Received: scale_fn({first}) raised {error!r}"
        ) from error
    try:
        finite = math.isfinite(float(value))
    except (TypeError, ValueError):
        finite = False
    if not finite:
        raise ValueError(f"Argument `scale_fn` must return a finite number. Received: scale_fn({first}) = {value!r}")


def _length(name: str, value: float, steps_per_unit: Fraction) -> Fraction:
    """A length in steps as a fraction: 33.3 means 333/10, not the nearest binary float."""
    length = Fraction(_number(name, value)).limit_denominator(10_000) * steps_per_unit
    if not 1 <= length <= LONGEST:
        unit = "" if steps_per_unit == 1 else f" with {float(steps_per_unit):g} batches in one unit"
        raise ValueError(f"Argument `{name}` must be between 1 and {LONGEST} batches. Received: {name}={value}{unit}")
    return length


def _countable(up: Fraction, down: Fraction) -> tuple[Fraction, Fraction]:
    """The nearest lengths that the graph's 32-bit integers can count with: mostly the lengths themselves.

    There, period * ticks_per_step**2 has to stay below 2**31.
    """
    period = up + down
    if period * math.lcm(up.denominator, down.denominator) ** 2 <= LAST_STEP:
        return up, down
    ticks = math.isqrt(LAST_STEP // math.ceil(period + 1))  # Rounding adds less than one step to the period.
    if up == down:
        nearest = up.limit_denominator(ticks)
        return nearest, nearest
    return Fraction(round(up * ticks), ticks), Fraction(round(down * ticks), ticks)
