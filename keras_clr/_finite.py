"""What is no number in an array. Pure numpy."""

from __future__ import annotations

import numpy as np


def bad_rows(array: np.ndarray) -> np.ndarray:
    """For each row whether it has a NaN or an infinity, shape (n,)."""
    # Of good data, no array of the same size is made.
    if array.dtype.kind != "f" or not array.size or (np.isfinite(array.min()) and np.isfinite(array.max())):
        return np.zeros(len(array), bool)
    bad: np.ndarray = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    return bad
