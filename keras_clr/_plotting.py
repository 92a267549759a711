"""Drawing: an Axes in, an Axes out. matplotlib is imported here, and only when something is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from keras_clr._extras import import_extra


def _need_matplotlib() -> None:
    import_extra("matplotlib", "plot", "Drawing")


def axes_or_new(ax: Any) -> Any:
    """The Axes, or one of a fresh figure for None.

    Raises:
        TypeError: If it is no Axes.
        ImportError: If matplotlib is not installed.
    """
    if ax is not None:
        if not hasattr(ax, "plot"):
            raise TypeError(f"Argument `ax` must be matplotlib Axes or None. Received: ax={ax!r}")
        return ax
    _need_matplotlib()
    from matplotlib import pyplot as plt

    return plt.figure(layout="constrained").add_subplot()


@contextmanager
def new_panels(heights: Sequence[float]) -> Iterator[tuple[Any, Any]]:
    """A figure for a file, with Axes one above the other, in matplotlib's own style whatever the user's is.

    Args:
        heights: Of each of the Axes, in inches.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    _need_matplotlib()
    from matplotlib import style
    from matplotlib.figure import Figure

    # The salt makes the same picture the same file.
    with style.context(["default", {"svg.hashsalt": "keras-clr"}]):
        # Not pyplot's: it need not be closed, and no notebook shows it.
        figure = Figure(figsize=(5.6, 1.2 + sum(heights)), layout="constrained")
        yield figure, figure.subplots(len(heights), sharex=True, squeeze=False, height_ratios=heights)[:, 0]


def line_plot(x: np.ndarray, y: np.ndarray, *, ax: Any, xlabel: str, ylabel: str) -> Any:
    """One line on `ax` (a new one when None), with its axes named. Returns the Axes."""
    ax = axes_or_new(ax)
    ax.plot(x, y)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return ax
