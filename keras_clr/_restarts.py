"""How often a model has been given a fresh start in mid-training: callbacks that count steps have to know."""

from __future__ import annotations

import weakref
from typing import Any

_counts: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def note_restart(model: Any) -> None:
    """To be called when weights and optimizer have been put back to the start."""
    _counts[model] = restarts_of(model) + 1


def restarts_of(model: Any) -> int:
    """Restarts so far."""
    return _counts.get(model, 0)
