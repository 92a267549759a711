"""`LRCurve`: what a range test measured, and what follows from it."""

from __future__ import annotations

import dataclasses
import html
import json
import statistics
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_clr._extras import import_extra
from keras_clr.cyclic.callback import CyclicLR
from keras_clr.cyclic.policies import check_choice
from keras_clr.finder.drawing import draw_curve
from keras_clr.finder.errors import FlatCurveError, LRFinderError, TooFewPointsError
from keras_clr.finder.plan import MIN_POINTS, SweepEnd
from keras_clr.finder.rules import CLEAR, RULES, bounds, descent, fall_in_noise, lowest, smooth

LEAST_FALL = 3.0  # Standard errors: a smaller fall is none.
COURSE_DECADES = 0.15  # Standard deviation between sweeps of one model, beyond what one curve shows.


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
        momentum: What the optimizer keeps of its last step or averaged gradient; the rule "descent" allows for it.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    probes: tuple[Probe, ...] = ()
    end: str = ""
    updates_per_epoch: float | None = None
    momentum: float = 0.0

    def suggest(self, rule: str | None = None) -> float:
        """A learning rate to train with.

        Args:
            rule: None for "descent", or for the best probe where there are probes; or the name of a rule that reads the
                curve alone: "descent", "smooth-minimum" (ours), "minimum", "steepest", "valley", "slide" (fastai),
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
        if rule == "descent" or (rule is None and not self.probes):
            return descent(*self._arrays, self.momentum)
        if rule is not None:
            return RULES[rule](*self._arrays)
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

    def interval(self, level: float = 0.95, resamples: int = 200) -> tuple[float, float]:
        """Where sweeps of the same model would suggest a rate: holds the median of many with about this probability.

        Two parts, added as variances of the log-rate. The noise of the batches: the rule "descent" reads the curve
        again and again with random signs of the residuals about the smoothed losses (a wild bootstrap: each stays in
        its place, since the noise changes with the rate). And 0.15 decades, by which sweeps differ that took another
        course: one curve cannot show that, it is from repeated sweeps (benchmarks/finder_interval.py).

        Args:
            level: Probability, in (0, 1). Defaults to 0.95.
            resamples: How many times the curve is read. Defaults to 200.

        Returns:
            (lowest, highest) rate around the suggestion of "descent"; the same ones in every call.
        """
        rates, losses = self._arrays
        curve = smooth(rates, losses)
        residuals = losses - curve
        # Beyond the minimum they are its blow-up; the other way round that would be a fall.
        residuals[int(np.argmin(curve)) + 1 :] = 0.0
        signs = np.random.default_rng(0).choice([-1.0, 1.0], (resamples, len(rates)))
        found = np.log10([descent(rates, losses - residuals + flips * residuals, self.momentum) for flips in signs])
        # What is smoothed twice may lie a little beside the suggestion: only the spread is taken.
        low, high = np.quantile(found, [(1 - level) / 2, (1 + level) / 2]) - np.median(found)
        course = COURSE_DECADES * statistics.NormalDist().inv_cdf((1 + level) / 2)
        rate = descent(rates, losses, self.momentum)
        return rate * float(10 ** -np.hypot(low, course)), rate * float(10 ** np.hypot(high, course))

    @property
    def low_confidence(self) -> bool:
        """Whether the fall is lost in noise, the suggestion uncertain by a decade, or the lowest loss the last one."""
        if fall_in_noise(*self._arrays) < CLEAR or lowest(*self._arrays) >= self.rates[-2]:
            return True
        low, high = self.interval()
        return high > 10 * low

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain Python values."""
        return dataclasses.asdict(self)

    def to_frame(self) -> Any:
        """The curve as a pandas DataFrame with the columns rate, loss, smoothed.

        Raises:
            ImportError: If pandas is not installed.
        """
        pd = import_extra("pandas", "pandas", "A DataFrame")
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
        return f"suggests {rate:.3g}, the curve says {low:.2g} to {high:.2g}{doubt}"

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
        # Where it diverged, the divergence itself says enough, however small the fall was.
        diverged = self.end in (SweepEnd.DIVERGED.value, SweepEnd.NOT_FINITE.value)
        rates, losses = self._arrays
        if not diverged and fall_in_noise(rates, losses) < LEAST_FALL:
            noise = np.median(np.abs(losses - smooth(rates, losses)))
            raise FlatCurveError(
                f"The loss never fell by more than the noise of its batches ({noise:.3g}) between rates {rates[0]:.2g} "
                f"and {rates[-1]:.2g}. Check that the model can learn at all, use larger batches, or raise num_steps."
            )
