"""The picture of `pixel_colour.py`: every run's accuracy with the detector's flags, and the learning rate below."""

from __future__ import annotations

import math
import textwrap
from typing import Any

from matplotlib.figure import Figure

_LEARNS, _FROZEN = "#2a6f97", "#c1121f"
_COLUMNS = 5


def draw(data: dict[str, Any], target: Any, kind: str = "png") -> Any:
    """Draws `results.json`'s content.

    Args:
        data: What `results.json` holds.
        target: A file's path, whatever its name ends in, or an open file.
        kind: "png" or "svg".

    Returns:
        `target`.
    """
    rows = {name: row for name, row in data["rows"].items() if row["runs"]}
    columns = min(_COLUMNS, max(1, len(rows)))
    lines = max(1, math.ceil(len(rows) / columns))
    width = 1.5 + 3.2 * columns
    figure = Figure(figsize=(width, 0.6 + 4.4 * lines), layout="constrained")
    axes = figure.subplots(2 * lines, columns, squeeze=False, height_ratios=(3, 1) * lines)
    for index, place in enumerate(range(lines * columns)):
        line, column = divmod(place, columns)
        accuracy, rate = axes[2 * line, column], axes[2 * line + 1, column]
        if index >= len(rows):
            accuracy.set_axis_off()
            rate.set_axis_off()
            continue
        name = list(rows)[index]
        _accuracies(accuracy, name, rows[name])
        rate.plot(rows[name]["rate_curve"]["epoch"], rows[name]["rate_curve"]["learning_rate"], color="black", lw=1)
        rate.set_xlim(accuracy.get_xlim())
        rate.set_ylim(bottom=0)
        rate.set_xlabel("epoch")
        if column == 0:
            accuracy.set_ylabel("validation accuracy")
            rate.set_ylabel("learning rate")
    setting = data["setting"]
    title = (
        f"One seed of initial weights, {setting['size']} x {setting['size']} pixels, {data['backend']}: "
        "only the order of the images differs"
    )
    figure.suptitle(textwrap.fill(title, int(11 * width)), fontsize=10)  # 11 letters of this size in an inch
    figure.savefig(target, dpi=120, format=kind)
    return target


def _accuracies(ax: Any, name: str, row: dict[str, Any]) -> None:
    for run in row["curves"]:
        values = run["val_accuracy"]
        frozen = run["frozen_epoch"]
        color = _LEARNS if frozen is None else _FROZEN
        # One epoch makes no line.
        marker = "o" if len(values) == 1 else None
        ax.plot(range(1, len(values) + 1), values, color=color, lw=1.2, alpha=0.6, marker=marker)
        if frozen is not None:
            ax.plot(frozen, values[frozen - 1], marker="X", markersize=8, color=_FROZEN, ls="none", alpha=0.8)
    low, high = row["frozen_interval_95"]
    ax.set_title(
        f"{name}: {row['frozen']} of {row['runs']} frozen\n(95 % interval {low:.0%} to {high:.0%})", fontsize=9
    )
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlim(left=0)
    if row["frozen"] < row["runs"]:
        ax.plot([], [], color=_LEARNS, label="not frozen")
    if row["frozen"]:
        ax.plot([], [], color=_FROZEN, marker="X", label="frozen; X: StuckDetector says so")
    ax.legend(loc="lower right", fontsize=7)
