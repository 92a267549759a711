"""What the finder raises when it cannot answer."""

from __future__ import annotations


class LRFinderError(RuntimeError):
    """The curve does not allow a suggestion; the message says why and what to change."""


class TooFewPointsError(LRFinderError):
    """The sweep has too few points to read anything from it."""


class FlatCurveError(LRFinderError):
    """The loss did not react to the learning rate."""


class LossNotFiniteError(LRFinderError):
    """The loss was NaN or infinite at the lowest rate already: the data or the model are to blame, not the rate."""
