"""`LRCurve`: what a range test measured, and what follows from it."""

from __future__ import annotations

import dataclasses
import html
import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_clr.cyclic.callback import CyclicLR
from keras_clr.cyclic.policies import check_choice
from keras_clr.finder.drawing import draw_curve
from keras_clr.finder.errors import FlatCurveError, LRFinderError, TooFewPointsError
from keras_clr.finder.plan import MIN_POINTS
from keras_clr.finder.rules import RULES, bounds, lowest, smooth


@dataclass(frozen=True)
class Probe:
    """A short training at one rate, always from the same state and on the same batches.

    Attributes:
        rate: The learning rate.
        losses: True losses of the updates; shorter than asked for if it diverged.
        diverged: Whether the loss became NaN or infinite.
    """

    rate: float
    losses: tuple[float, ...]
    diverged: bool = False

    @property
    def score(self) -> float:
        """Mean loss of the last third: lower is better; infinite if it diverged."""
        if self.diverged or not self.losses:
            return float("inf")
        return float(np.mean(self.losses[-max(1, len(self.losses) // 3) :]))


@dataclass(frozen=True, repr=False)
class LRCurve:
    """A measured range test. Immutable; made by `find_lr`.

    Attributes:
        rates: Learning rates of the updates, rising.
        losses: True losses of the updates (the mean of the batches under gradient accumulation).
        probes: Short trainings at candidate rates; empty with `probe_steps=0`.
        end: How the sweep ended, in words.
        updates_per_epoch: Updates in an epoch, None if the data does not say.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    probes: tuple[Probe, ...] = ()
    end: str = ""
    updates_per_epoch: float | None = None

    def suggest(self, rule: str | None = None) -> float:
        """A learning rate to train with.

        Args:
            rule: None for the best probe, or "smooth-minimum" where there are no probes; or the name of a rule that
                reads the curve alone: "smooth-minimum" (ours), "minimum", "steepest", "valley", "slide" (fastai),
                "gradient-by-index" (torch-lr-finder), "gradient-by-rate" (Lightning), "before-minimum" (ignite).

        Returns:
            The rate.

        Raises:
            LRFinderError: If the curve has too few points, is flat, or no probe survived; it says what to change.
            ValueError: If there is no such rule.
        """
        if rule is not None:
            check_choice("rule", rule, tuple(RULES))
        self._require_shape()
        if rule is not None:
            return RULES[rule](*self._arrays)
        if not self.probes:
            return RULES["smooth-minimum"](*self._arrays)
        best = min(self.probes, key=lambda probe: probe.score)
        if best.score == float("inf"):
            raise LRFinderError(
                f"Training diverged at every candidate rate ({', '.join(f'{p.rate:.2g}' for p in self.probes)}). Scale "
                "the inputs, or start lower: min_lr and max_lr ten times smaller."
            )
        return best.rate

    def suggest_bounds(self) -> tuple[float, float]:
        """(base_lr, max_lr) for a cyclical rate, by `keras_clr.finder.rules.bounds` from the suggested rate."""
        return bounds(self.suggest())

    def cyclic_lr(self, epochs: int = 2, **arguments: Any) -> CyclicLR:
        """A `CyclicLR` with the suggested bounds whose half cycle is `epochs` whole epochs."""
        base_lr, max_lr = self.suggest_bounds()
        return CyclicLR(base_lr, max_lr, step_size=epochs, step_size_unit="epochs", **arguments)

    @property
    def smoothed(self) -> tuple[float, ...]:
        """The losses, averaged over neighbouring log-rates without lag."""
        return tuple(smooth(*self._arrays))

    def interval(self, level: float = 0.95, resamples: int = 200, seed: int = 0) -> tuple[float, float]:
        """Where the rate of the lowest loss lies: flips the signs of the residuals about the smoothed curve.

        Each residual stays in its place (a wild bootstrap), since the noise grows with the rate.
        """
        rates, losses = self._arrays
        curve = smooth(rates, losses)
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], (resamples, len(rates)))
        found = [lowest(rates, curve + flips * (losses - curve)) for flips in signs]
        low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    @property
    def low_confidence(self) -> bool:
        """Whether the lowest loss is uncertain by more than a decade, or lies at the end of the range."""
        low, high = self.interval()
        return high > 10 * low or lowest(*self._arrays) >= self.rates[-2]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain Python values."""
        return dataclasses.asdict(self)

    def to_frame(self) -> Any:
        """The curve as a pandas DataFrame with the columns rate, loss, smoothed.

        Raises:
            ImportError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError as error:
            raise ImportError('A DataFrame needs pandas. Install it with: pip install "keras-clr[pandas]"') from error
        return pd.DataFrame({"rate": self.rates, "loss": self.losses, "smoothed": self.smoothed})

    def plot(self, ax: Any = None) -> Any:
        """Draws raw and smoothed losses, the probes, every rule's rate, the interval and the band.

        Args:
            ax: Matplotlib Axes to draw on; a new figure's when None.

        Returns:
            The Axes. Nothing is shown: call `matplotlib.pyplot.show()` for that.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return draw_curve(self, ax)

    def __repr__(self) -> str:
        span = f"{len(self.rates)} rates" + (f" from {self.rates[0]:.2g} to {self.rates[-1]:.2g}" if self.rates else "")
        return f"LRCurve({span}, {self._answer()}; {self.end})"

    def _repr_html_(self) -> str:
        cells = {"rates": f"{len(self.rates)}", "end of the sweep": self.end, "suggestion": self._answer()}
        rows = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in cells.items())
        return f"<table>{rows}</table>"

    def _answer(self) -> str:
        try:
            rate = self.suggest()
        except LRFinderError as error:
            return f"no suggestion: {error}"
        low, high = self.interval()
        doubt = ", low confidence" if self.low_confidence else ""
        return f"suggests {rate:.3g}, lowest loss between {low:.2g} and {high:.2g}{doubt}"

    def to_json(self) -> str:
        """Everything as JSON; `LRCurve.from_json` reads it."""
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> LRCurve:
        """The curve that `to_json` wrote."""
        values = json.loads(text)
        probes = tuple(Probe(p["rate"], tuple(p["losses"]), p["diverged"]) for p in values.pop("probes"))
        rates, losses = tuple(values.pop("rates")), tuple(values.pop("losses"))
        return cls(rates, losses, probes, **values)

    @property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        return np.array(self.rates), np.array(self.losses)

    def _require_shape(self) -> None:
        if len(self.rates) < MIN_POINTS:
            raise TooFewPointsError(
                f"{len(self.rates)} points, need {MIN_POINTS}: raise num_steps or lower min_lr. The sweep ended "
                f"because {self.end}."
            )
        rates, losses = self._arrays
        curve = smooth(rates, losses)
        noise = np.median(np.abs(losses - curve))
        if curve[:5].mean() - curve.min() <= max(noise, 1e-6 * np.abs(curve).max()):
            raise FlatCurveError(
                f"The loss never fell by more than the noise of its batches ({noise:.3g}) between rates {rates[0]:.2g} "
                f"and {rates[-1]:.2g}. Check that the model can learn at all, use larger batches, or raise num_steps."
            )
