"""Trains a borrowed model and gives it back as it was, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from keras_clr._keras.random_state import capture_random_state
from keras_clr._keras.training import plain_training
from keras_clr._snapshot import Snapshot


class Borrowed:
    """A model on loan: `rewind` gives its state back in between."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._snapshot = Snapshot.take(model)
        self.note_random_state()

    def note_random_state(self) -> None:
        """To be called when the first training begins: what `fit` draws up to there, it draws only once.

        On JAX and torch, the first `fit` of a model looks at a batch to build metrics and optimizer. They stay built,
        so the `fit` after the loan draws nothing: it has to find the state that this one left.
        """
        self._restore_random_state = capture_random_state()

    def rewind(self) -> None:
        """Gives the state back, to start anew from it on the same batches."""
        self._snapshot.restore(self._model)
        self._restore_random_state()


@contextmanager
def borrow(model: Any) -> Iterator[Borrowed]:
    """Inside, `model` may be trained at any rate; at the end its whole state is given back, bit for bit.

    Weights, BatchNorm statistics, seeds, optimizer slots and counts, rate or schedule, metrics, `stop_training`,
    `history`, `steps_per_execution`, the compiled training function, and the random state of Python, numpy, Keras and
    the backend. Also after an exception, Ctrl-C included.

    Args:
        model: A built and compiled Keras model.

    Yields:
        The `Borrowed` model.
    """
    absent = object()
    history = model.__dict__.get("history", absent)
    with plain_training(model):
        borrowed = Borrowed(model)
        try:
            yield borrowed
        finally:
            borrowed.rewind()
            if history is absent:
                model.__dict__.pop("history", None)
            else:
                model.history = history
