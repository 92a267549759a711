"""The arguments that `CyclicLR` and `CyclicSchedule` share: checked, and made into a policy."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from typing import Any

from keras_clr._errors import KerasCLRWarning
from keras_clr.cyclic.policies import (
    LAST_STEP,
    CyclicPolicy,
    MomentumBounds,
    ScaleFn,
    as_float,
    check_choice,
    scale_value,
)

MODES = ("triangular", "triangular2", "exp_range")
SCALE_MODES = ("cycle", "iterations")
WAVES = ("linear", "cosine")
MOMENTUM_BOUNDS = (0.85, 0.95)  # The default ones.
LONGEST = LAST_STEP // 4  # Batches in half a cycle: the whole cycle still fits into 32 bits.


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
    in_epochs: bool = False,
    momentum_bounds: MomentumBounds | None = None,
) -> CyclicPolicy:
    """Checks the arguments that `CyclicLR` and `CyclicSchedule` share and builds their policy.

    Args:
        base_lr: Lower bound of the learning rate, >= 0.
        max_lr: Upper bound of the learning rate, >= base_lr, > 0.
        step_size: Length of the rise in steps, at least one; in epochs, more than 0.
        mode: "triangular", "triangular2" or "exp_range".
        gamma: Base of "exp_range", in (0, 1].
        scale_fn: Custom factor on the amplitude, instead of a `mode`.
        scale_mode: What `scale_fn` is called with: "cycle" (1-based) or "iterations" (0-based).
        step_size_down: Length of the fall; as `step_size` when None.
        wave: "linear" or "cosine".
        in_epochs: Whether the lengths are in epochs of a length that is not known yet.
        momentum_bounds: What `checked_momentum` returned.

    Returns:
        The `CyclicPolicy`; with `in_epochs`, its lengths have still to be set, by `half_cycles`.

    Raises:
        ValueError: If an argument is out of range, or would be ignored.
        TypeError: If a number is not a number, or `scale_fn` is not a function of one number.
    """
    base_lr = number("base_lr", base_lr)
    max_lr = number("max_lr", max_lr)
    gamma = number("gamma", gamma)
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
    if in_epochs:
        up = down = _some_epochs("step_size", step_size)
        if step_size_down is not None:
            down = _some_epochs("step_size_down", step_size_down)
    else:
        up, down = half_cycles(step_size, step_size_down)
    return CyclicPolicy(base_lr, max_lr, up, down, mode, gamma, scale_fn, scale_mode, wave, momentum_bounds)


def checked_momentum(cycle_momentum: object, base_momentum: float, max_momentum: float) -> MomentumBounds | None:
    """The bounds between which momentum cycles, or None.

    Raises:
        ValueError: If they are out of range, or would be ignored.
        TypeError: If one of them is not a number.
    """
    check_choice("cycle_momentum", cycle_momentum, (True, False))
    lower, upper = number("base_momentum", base_momentum), number("max_momentum", max_momentum)
    if not 0 <= lower <= upper < 1:
        raise ValueError(
            "Arguments `base_momentum` and `max_momentum` must be in [0, 1), the second not below the first. "
            f"Received: base_momentum={lower}, max_momentum={upper}"
        )
    if cycle_momentum:
        return lower, upper
    if (lower, upper) != MOMENTUM_BOUNDS:
        raise ValueError(
            "Arguments `base_momentum` and `max_momentum` are only used with cycle_momentum=True. "
            f"Received: base_momentum={lower}, max_momentum={upper}"
        )
    return None


def plain_arguments(policy: CyclicPolicy, step_size: float, step_size_down: float | None) -> dict[str, Any]:
    """The arguments that made `policy`, with numbers of Python's own: ready for JSON, but for `scale_fn`."""
    return {
        "base_lr": policy.base_lr,
        "max_lr": policy.max_lr,
        "step_size": float(step_size),
        "mode": policy.mode,
        "gamma": policy.gamma,
        "scale_fn": policy.scale_fn,
        "scale_mode": policy.scale_mode,
        "step_size_down": None if step_size_down is None else float(step_size_down),
        "wave": policy.wave,
    }


def plain_momentum(bounds: MomentumBounds | None) -> dict[str, Any]:
    """The arguments of which `checked_momentum` made `bounds`."""
    lower, upper = bounds or MOMENTUM_BOUNDS
    return {"cycle_momentum": bounds is not None, "base_momentum": lower, "max_momentum": upper}


def half_cycles(
    step_size: float, step_size_down: float | None, steps_per_epoch: Fraction | None = None
) -> tuple[Fraction, Fraction]:
    """Lengths of rise and fall in steps; given in epochs if `steps_per_epoch` is. Errors as in `cyclic_policy`."""
    up = _length("step_size", step_size, steps_per_epoch)
    return _countable(up, up if step_size_down is None else _length("step_size_down", step_size_down, steps_per_epoch))


def number(name: str, value: float) -> float:
    """`value` as a float: finite, or an error that names the argument."""
    try:
        number = as_float(value)
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
        scale_value(scale_fn, first)
    except ValueError as error:
        if isinstance(error.__cause__, TypeError):
            raise TypeError(
                "Argument `scale_fn` must be a function of one number. "
                f"Received: scale_fn({first}) raised {error.__cause__!r}"
            ) from error.__cause__
        raise


def _length(name: str, value: float, steps_per_epoch: Fraction | None) -> Fraction:
    """A length in steps as a fraction: 33.3 means 333/10, not the nearest binary float."""
    length = Fraction(number(name, value)).limit_denominator(10_000) * (steps_per_epoch or 1)
    if not 1 <= length <= LONGEST:
        epoch = ""
        if steps_per_epoch is not None:
            epoch = f" epochs; batches (updates under gradient accumulation) in an epoch: {float(steps_per_epoch):g}"
        raise ValueError(f"Argument `{name}` must be between 1 and {LONGEST} batches. Received: {name}={value}{epoch}")
    return length


def _some_epochs(name: str, value: float) -> Fraction:
    """What is left of a length in epochs as long as the epoch's length is not known: a check, and a stand-in."""
    if number(name, value) <= 0:
        raise ValueError(f"Argument `{name}` must be > 0 epochs. Received: {name}={value}")
    return Fraction(1)


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
