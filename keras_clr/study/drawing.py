"""The picture of a study."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from keras_clr._plotting import axes_or_new

if TYPE_CHECKING:
    from keras_clr.study.result import Study


def draw_study(study: Study, metric: str, ax: Any) -> Any:
    """A curve for each run with a result on `ax` (a new one when None); the Axes."""
    ax = axes_or_new(ax)
    groups = {
        "not stuck": ("tab:blue", [run for run in study.results if not run.is_stuck]),
        "stuck": ("tab:red", [run for run in study.results if run.is_stuck]),
    }
    for name, (colour, runs) in groups.items():
        for number, run in enumerate(runs):
            curve = run.curves.get(metric, ())
            label = f"{name} ({len(runs)})" if number == 0 else None
            # A run of one epoch is a point.
            ax.plot(range(1, len(curve) + 1), curve, ".-", color=colour, alpha=0.6, linewidth=1.2, label=label)
    chance = next((run.diagnosis.chance for run in study.results if run.diagnosis and run.diagnosis.chance), None)
    if chance is not None and chance.accuracy is not None and "acc" in metric:
        ax.axhline(chance.accuracy, color="0.5", linewidth=1, linestyle=":", label="chance")
    ax.set(xlabel="epoch", ylabel=metric, title=f"stuck: {study.stuck_share}")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(fontsize="small")
    return ax
