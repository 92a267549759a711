"""The picture of `pixel_colour.py`: every run's accuracy with the detector's flags, and the learning rate below."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

_LEARNS, _FROZEN = "#2a6f97", "#c1121f"


def draw(data: dict[str, Any], path: Path) -> Path:
    """Draws `results.json`'s content into a PNG file.

    Args:
        data: What `results.json` holds.
        path: The file, whatever its name ends in.

    Returns:
        `path`.
    """
    variants = {name: variant for name, variant in data["variants"].items() if variant["runs"]}
    width = 1.5 + 3.5 * len(variants)
    figure = Figure(figsize=(width, 5.2), layout="constrained")
    axes = figure.subplots(2, len(variants), sharex=True, sharey="row", squeeze=False, height_ratios=(3, 1))
    rate = data["learning_rate"]
    steps_per_epoch = data["setting"]["training_images"] / data["setting"]["batch_size"]
    if data["setting"]["chunk"] == data["setting"]["batch_size"]:
        steps_per_epoch = data["setting"]["steps_per_epoch"]
    for column, (name, variant) in zip(axes.T, variants.items(), strict=True):
        _accuracies(column[0], name, variant)
        column[1].plot([step / steps_per_epoch for step in rate["step"]], rate["learning_rate"], color="black", lw=1)
        column[1].set_xlabel("epoch")
        column[1].set_ylim(bottom=0)
    axes[0, 0].set_ylabel("validation accuracy")
    axes[1, 0].set_ylabel("learning rate")
    setting = data["setting"]
    title = (
        f"One set of initial weights, {setting['size']} x {setting['size']} pixels, {data['backend']}: "
        "only the order of the images differs"
    )
    figure.suptitle(textwrap.fill(title, int(11 * width)), fontsize=10)  # 11 letters of this size in an inch
    figure.savefig(path, dpi=120, format="png")
    return path


def _accuracies(ax: Any, name: str, variant: dict[str, Any]) -> None:
    for run in variant["runs"]:
        values = run["val_accuracy"]
        frozen = run["frozen_epoch"]
        color = _LEARNS if frozen is None else _FROZEN
        # One epoch makes no line.
        marker = "o" if len(values) == 1 else None
        ax.plot(range(1, len(values) + 1), values, color=color, lw=1.2, alpha=0.6, marker=marker)
        if frozen is not None:
            ax.plot(frozen, values[frozen - 1], marker="X", markersize=8, color=_FROZEN, ls="none", alpha=0.8)
    low, high = variant["frozen_interval_95"]
    ax.set_title(
        f"{name}: {variant['frozen']} of {len(variant['runs'])} frozen\n(95 % interval {low:.0%} to {high:.0%})",
        fontsize=9,
    )
    ax.set_ylim(-0.03, 1.03)
    if variant["frozen"] < len(variant["runs"]):
        ax.plot([], [], color=_LEARNS, label="not frozen")
    if variant["frozen"]:
        ax.plot([], [], color=_FROZEN, marker="X", label="frozen; X: StuckDetector says so")
    ax.legend(loc="lower right", fontsize=7)
