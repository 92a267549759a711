"""The picture of a range test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from keras_clr._plotting import axes_or_new
from keras_clr.finder.errors import LRFinderError
from keras_clr.finder.rules import RULES

if TYPE_CHECKING:
    from keras_clr.finder.curve import LRCurve


def draw_curve(curve: LRCurve, ax: Any) -> Any:
    """Raw and smoothed losses, probes, rules, interval and band on `ax` (a new one when None); the Axes."""
    ax = axes_or_new(ax)
    rates, losses = np.array(curve.rates), np.array(curve.losses)
    ax.plot(rates, losses, ".", color="0.6", label="loss of each update")
    ax.plot(rates, curve.smoothed, color="tab:blue", label="smoothed")
    try:
        suggestion = curve.suggest()
        low, high = curve.suggest_bounds()
    except LRFinderError as error:
        ax.set_title(str(error), fontsize="small", wrap=True)
    else:
        ax.axvspan(low, high, color="tab:green", alpha=0.15, label=f"cycle between {low:.2g} and {high:.2g}")
        ax.axvline(suggestion, color="tab:green", label=f"suggestion {suggestion:.2g}")
        interval = curve.interval()
        ax.axvspan(*interval, ymax=0.03, color="tab:orange", label="suggestions of the curve, 95 %")
        scores = {probe.rate: probe.score for probe in curve.probes if np.isfinite(probe.score)}
        ax.plot(list(scores), list(scores.values()), "o", color="tab:red", label="loss after a short training")
        for name in RULES:
            ax.axvline(curve.suggest(name), color="0.7", linewidth=0.7, linestyle=":")
            ax.annotate(name, (curve.suggest(name), 1), xycoords=("data", "axes fraction"), rotation=90, fontsize=6,
                        ha="right", va="top", color="0.4")  # fmt: skip
    # What diverges at the end would press the rest flat.
    spread = np.ptp(losses[: max(1, int(np.argmin(curve.smoothed)) + 1)]) or 1.0
    ax.set(
        xscale="log",
        xlabel="learning rate",
        ylabel="loss",
        ylim=(losses.min() - 0.1 * spread, losses[:5].max() + spread),
    )
    ax.legend(fontsize="small", loc="lower left")
    return ax
