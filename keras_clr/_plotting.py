"""Drawing: an Axes in, an Axes out. matplotlib is imported here, and only when something is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np


def new_axes() -> Any:
    """A fresh Axes of a fresh figure.

    Raises:
        ImportError: If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot as plt
    except ImportError as error:
        raise ImportError('Drawing needs matplotlib. Install it with: pip install "keras-clr[plot]"') from error
    return plt.figure(layout="constrained").add_subplot()


def line_plot(x: np.ndarray, y: np.ndarray, *, ax: Any, xlabel: str, ylabel: str) -> Any:
    """One line on `ax` (a new one when None), with its axes named. Returns the Axes."""
    ax = new_axes() if ax is None else ax
    ax.plot(x, y)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    return ax
