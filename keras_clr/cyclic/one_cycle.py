"""One cycle over a whole run as a pure function of the step, and the arguments that describe it. No Keras.

Smith 2018 (arXiv 1803.09820): the rate rises once to a value that would be too high for long, comes down again,
and ends far below where it began, while momentum does the opposite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from keras_clr.cyclic.arguments import WAVES, number
from keras_clr.cyclic.policies import LAST_STEP, MomentumBounds, check_choice

PRESETS = (None, "pytorch", "fastai")


@dataclass(frozen=True)
class Phase:
    """From one value to another between two steps, which need not be whole."""

    start: float
    end: float
    rates: tuple[float, float]
    momenta: tuple[float, float]

    @property
    def length(self) -> float:
        """Steps."""
        return self.end - self.start


@dataclass(frozen=True)
class OneCyclePolicy:
    """One cycle of the learning rate. Call it with a step; `one_cycle_policy` builds one."""

    initial_lr: float
    max_lr: float
    min_lr: float
    total_steps: int
    ends: tuple[float, ...]  # The steps at which the two or three phases end.
    wave: str = "cosine"
    momentum_bounds: MomentumBounds | None = None

    @cached_property
    def phases(self) -> tuple[Phase, ...]:
        """Rise, fall, and with three phases a last fall."""
        low, high = self.momentum_bounds or (0.0, 0.0)
        rates, momenta = [self.initial_lr, self.max_lr, self.min_lr], [high, low, high]
        if len(self.ends) == 3:
            rates.insert(2, self.initial_lr)
            momenta.append(high)
        starts = (0.0, *self.ends)
        return tuple(
            Phase(start, end, (rates[i], rates[i + 1]), (momenta[i], momenta[i + 1]))
            for i, (start, end) in enumerate(zip(starts, self.ends, strict=False))
        )

    @property
    def steps_to_show(self) -> int:
        """The whole cycle."""
        return self.total_steps

    def __call__(self, step: int) -> float:
        """The learning rate of `step` (0-based); from the end of the cycle on, the smallest one."""
        return self._at(step, lambda phase: phase.rates)

    def momentum(self, step: int) -> float | None:
        """The momentum of `step`; None if it does not cycle."""
        return None if self.momentum_bounds is None else self._at(step, lambda phase: phase.momenta)

    def _at(self, step: int, values: Callable[[Phase], tuple[float, float]]) -> float:
        phase = next((phase for phase in self.phases if step <= phase.end), self.phases[-1])
        behind, ahead = (min(step, phase.end) - phase.start) / phase.length, max(phase.end - step, 0) / phase.length
        before, after = values(phase)
        # Each end of the phase counts from its own zero: both values are hit exactly, however far apart they are.
        return before * self._share(ahead) + after * self._share(behind)

    def _share(self, linear: float) -> float:
        return linear if self.wave == "linear" else math.sin(0.5 * math.pi * linear) ** 2


def one_cycle_policy(
    shape: Mapping[str, Any], total_steps: int, momentum_bounds: MomentumBounds | None = None
) -> OneCyclePolicy:
    """Stretches a cycle over a number of steps.

    Args:
        shape: What `one_cycle_shape` returned.
        total_steps: Steps in the cycle, at least 3 (4 with three phases).
        momentum_bounds: What `checked_momentum` returned.

    Returns:
        The `OneCyclePolicy`.

    Raises:
        ValueError: If there are too few steps, or a phase would have no length.
    """
    total_steps = checked_total(total_steps, shape["three_phase"])
    initial_lr = shape["max_lr"] / shape["div_factor"]
    return OneCyclePolicy(
        initial_lr,
        shape["max_lr"],
        initial_lr / shape["final_div_factor"],
        total_steps,
        _ends(total_steps, shape["pct_start"], shape["three_phase"], shape["preset"]),
        shape["wave"],
        momentum_bounds,
    )


def one_cycle_shape(
    max_lr: float,
    pct_start: float | None = None,
    div_factor: float | None = None,
    final_div_factor: float | None = None,
    wave: str = "cosine",
    three_phase: bool = False,
    preset: str | None = None,
) -> dict[str, Any]:
    """Checks the arguments that `OneCycleLR` and `OneCycleSchedule` share, but for the length of the cycle.

    Args:
        max_lr: The highest learning rate, > 0.
        pct_start: Share of the steps in the rise, in (0, 1).
        div_factor: max_lr / initial rate, >= 1.
        final_div_factor: Initial rate / smallest rate, > 0.
        wave: "linear" or "cosine".
        three_phase: Whether a last phase of its own leads from the initial rate to the smallest.
        preset: None, "pytorch" or "fastai".

    Returns:
        All of them by name, with the preset's numbers in place of None, ready for JSON.

    Raises:
        ValueError: If an argument is out of range.
        TypeError: If a number is not a number.
    """
    check_choice("preset", preset, PRESETS)
    check_choice("wave", wave, WAVES)
    check_choice("three_phase", three_phase, (True, False))
    max_lr = number("max_lr", max_lr)
    if max_lr <= 0:
        raise ValueError(f"Argument `max_lr` must be > 0. Received: max_lr={max_lr}")
    if pct_start is None:
        pct_start = 0.25 if preset == "fastai" else 0.3
    pct_start = number("pct_start", pct_start)
    highest = 0.5 if three_phase else 1
    if not 0 < pct_start < highest:
        raise ValueError(
            f"Argument `pct_start` is the share of the steps in the rise and must be in (0, {highest})"
            f"{', since with three_phase=True the fall is as long as the rise' if three_phase else ''}. "
            f"Received: pct_start={pct_start}"
        )
    div_factor = number("div_factor", 25.0 if div_factor is None else div_factor)
    if div_factor < 1:
        raise ValueError(
            f"Argument `div_factor` must be >= 1: the cycle starts at max_lr / div_factor. Received: {div_factor=}"
        )
    if final_div_factor is None:
        # fastai's `div_final` is max_lr / smallest rate.
        final_div_factor = 1e5 / div_factor if preset == "fastai" else 1e4
    final_div_factor = number("final_div_factor", final_div_factor)
    if final_div_factor <= 0:
        raise ValueError(
            "Argument `final_div_factor` must be > 0: the cycle ends at max_lr / (div_factor * final_div_factor). "
            f"Received: {final_div_factor=}"
        )
    if three_phase and preset == "fastai":
        raise ValueError("fastai has no cycle of three phases. Received: preset='fastai', three_phase=True")
    return {
        "max_lr": max_lr,
        "pct_start": pct_start,
        "div_factor": div_factor,
        "final_div_factor": final_div_factor,
        "wave": wave,
        "three_phase": bool(three_phase),
        "preset": preset,
    }


def fewest_steps(three_phase: bool) -> int:
    """The start and the end of each phase."""
    return 4 if three_phase else 3


def checked_total(total_steps: Any, three_phase: bool) -> int:
    """`total_steps`, if it is a number of steps in which there is room for the cycle."""
    fewest = fewest_steps(three_phase)
    whole = not isinstance(total_steps, bool) and hasattr(total_steps, "__index__")
    if not whole or not fewest <= total_steps <= LAST_STEP:
        raise ValueError(
            f"Argument `total_steps` must be an integer >= {fewest}: the number of batches (updates under gradient "
            f"accumulation) in the whole run. Received: total_steps={total_steps!r}"
        )
    return int(total_steps)


def _ends(total_steps: int, pct_start: float, three_phase: bool, preset: str | None) -> tuple[float, ...]:
    if preset == "fastai":  # It divides the step by total_steps: the run stops just before the end.
        return pct_start * total_steps, float(total_steps)
    rise, last = pct_start * total_steps, total_steps - 1
    if preset is None:
        # Whole steps, so that one batch gets the peak, and at least one for each phase.
        peak = float(min(max(round(rise) - 1, 1), (last - 1) // 2 if three_phase else last - 1))
    else:
        peak = rise - 1
        if peak <= 0:
            raise ValueError(
                f"preset='pytorch' ends the rise at step pct_start * total_steps - 1 = {peak:g}, so there is none. "
                f"Take a larger pct_start, or no preset. Received: pct_start={pct_start}, total_steps={total_steps}"
            )
    return (peak, 2 * peak, float(last)) if three_phase else (peak, float(last))
