"""The picture of a run: accuracy, loss and learning rate over the epochs, and the states behind them."""

from __future__ import annotations

import io
import itertools
import math
from typing import TYPE_CHECKING, Any

from keras_clr._plotting import axes_or_new, new_panels
from keras_clr.stuck.state import State

if TYPE_CHECKING:
    from keras_clr.stuck.diagnosis import Diagnosis

# Okabe and Ito's colours, which stay apart for colour-blind readers; the bands on white paper at 30 %.
_BANDS = {"open": "#e0e0e0", "good": "#cce9f8", "doubtful": "#fbf7c6", "bad": "#f2cfb3"}
# States of the same grade differ by their hatch.
_HATCHES = {
    State.SLOW_START: "//",
    State.CLASS_SHARES: "..",
    State.COLLAPSED: "\\\\",
    State.DIVERGED: "xx",
    State.BELOW_CHANCE: "--",
}
_LINES = {
    "training": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
    "validation": {"color": "#009E73", "linestyle": "--", "marker": "s"},
    "probe": {"color": "#CC79A7", "linestyle": "-.", "marker": "^"},
    "rate": {"color": "#0072B2", "linestyle": "-", "marker": "o"},
}
_ACCURACIES = {"training": "accuracy", "validation": "validation_accuracy", "probe": "probe_accuracy"}
_LOSSES = {"training": "loss", "probe": "probe_loss"}
_RATE = {"rate": "learning_rate"}
# Largest over smallest value from which a logarithmic axis shows more.
_DECADES = 100.0


def draw_run(diagnosis: Diagnosis, ax: Any) -> Any:
    """The panel that says most on `ax` (a new one when None): accuracies if there are any, else losses; the Axes."""
    ax = axes_or_new(ax)
    if not diagnosis.history:
        ax.text(0.5, 0.5, "No epoch has been seen yet.", ha="center", transform=ax.transAxes)
        return ax
    (draw_accuracy if _has(diagnosis, _ACCURACIES) else draw_loss)(diagnosis, ax)
    ax.set_xlabel("epoch")
    # Above: inside, it would cover lines, as the bands leave it no empty place.
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), fontsize="small", frameon=False, ncols=3)
    return ax


def draw_svg(diagnosis: Diagnosis) -> str:
    """All panels for which there is something to draw, one above the other, as an SVG element; "" if there is none.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    panels = ((_ACCURACIES, draw_accuracy, 3.0), (_LOSSES, draw_loss, 2.5), (_RATE, draw_rate, 1.5))
    drawn = [(draw, height) for names, draw, height in panels if _has(diagnosis, names)]
    if not drawn:
        return ""
    with new_panels([height for _, height in drawn]) as (figure, axes):
        legend: dict[str, Any] = {}
        for (draw, _), ax in zip(drawn, axes, strict=True):
            draw(diagnosis, ax)
            for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                legend.setdefault(label, handle)
        axes[-1].set_xlabel("epoch")
        figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=2)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    svg = file.getvalue()
    label = "Accuracy, loss and learning rate over the epochs"
    return svg[svg.index("<svg") :].replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def draw_accuracy(diagnosis: Diagnosis, ax: Any) -> None:
    """Accuracies in [0, 1], and chance."""
    seen = diagnosis.evidence
    values = _draw_lines(diagnosis, ax, _ACCURACIES)
    chance = seen.get("chance_accuracy", None if diagnosis.chance is None else diagnosis.chance.accuracy)
    least = 0.05
    if chance is not None:
        ax.axhline(chance, color="black", linestyle="--", linewidth=1, label=f"chance, {chance:.4f}")
        # Noise around chance must not look like a course.
        least = seen.get("margin", 0.1 * (1.0 - chance))
        values += [chance, chance + least]
    low, high = min(values, default=0.0), max(values, default=1.0)
    pad = max(least, 0.1 * (high - low))
    low, high = max(0.0, low - pad), min(1.0, high + pad)
    # A line at 0 or 1 is not cut in half.
    edge = 0.02 * (high - low)
    ax.set(ylabel="accuracy", ylim=(low - edge, high + edge))


def draw_loss(diagnosis: Diagnosis, ax: Any) -> None:
    """Losses, and what the best answer costs that does not look at the input."""
    values = _draw_lines(diagnosis, ax, _LOSSES)
    entropy = None if diagnosis.chance is None else diagnosis.chance.cross_entropy
    name, constant = "best constant answer", float(diagnosis.evidence.get("constant_loss", math.nan))
    if not math.isfinite(constant) and entropy is not None:
        name, constant = "entropy of the shares", entropy
    if math.isfinite(constant):
        ax.axhline(constant, color="black", linestyle=":", linewidth=1.5, label=f"{name}, {constant:.4g}")
        values.append(constant)
    ax.set(ylabel="loss", yscale=_scale(values))
    if not values:
        ax.set_yticks([])


def draw_rate(diagnosis: Diagnosis, ax: Any) -> None:
    """Learning rates at the epochs' ends."""
    scale = _scale(_draw_lines(diagnosis, ax, _RATE))
    ax.set(ylabel="learning rate", yscale=scale)
    if scale == "linear":
        # A constant rate is a flat line, and not its own rounding error.
        ax.set_ylim(bottom=0.0)
    ax.lines[0].set_label("")


def _draw_lines(diagnosis: Diagnosis, ax: Any, names: dict[str, str]) -> list[float]:
    """The states as bands, and a line for each of `names` that was seen; returns the finite values."""
    _draw_states(diagnosis, ax)
    values: list[float] = []
    lost: list[int] = []
    for label, name in names.items():
        # What was not looked at in an epoch leaves no gap, what was not a number does.
        points = [(seen["epoch"] + 1, float(seen[name])) for seen in diagnosis.history if name in seen]
        if not points:
            continue
        shown = [value if math.isfinite(value) else math.nan for _, value in points]
        ax.plot([epoch for epoch, _ in points], shown, label=label, markersize=3, **_LINES[label])
        values += [value for value in shown if math.isfinite(value)]
        lost += [epoch for epoch, value in points if not math.isfinite(value)]
    if lost:
        top = [0.93] * len(lost)
        ax.plot(lost, top, "X", color="black", transform=ax.get_xaxis_transform(), label="nan or infinite")
    return values


def _draw_states(diagnosis: Diagnosis, ax: Any) -> None:
    named = set()
    for value, group in itertools.groupby(diagnosis.history, key=lambda seen: seen["state"]):
        epochs, state = [seen["epoch"] + 1 for seen in group], State(value)
        ax.axvspan(
            epochs[0] - 0.5,
            epochs[-1] + 0.5,
            facecolor=_BANDS[state.grade],
            edgecolor="0.7",
            linewidth=0,
            hatch=_HATCHES.get(state),
            zorder=0,
            label="" if state in named else state.value,
        )
        named.add(state)
    ax.set_xlim(diagnosis.history[0]["epoch"] + 0.5, diagnosis.history[-1]["epoch"] + 1.5)
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def _scale(values: list[float]) -> str:
    return "log" if values and min(values) > 0.0 and max(values) >= _DECADES * min(values) else "linear"


def _has(diagnosis: Diagnosis, names: dict[str, str]) -> bool:
    return any(name in seen for seen in diagnosis.history for name in names.values())
