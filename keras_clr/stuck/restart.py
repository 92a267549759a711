"""New initial weights for a model in the middle of `fit`."""

from __future__ import annotations

import functools
import zlib
from typing import Any

import numpy as np

from keras_clr._keras.reinitialise import fresh_weights
from keras_clr._keras.tensors import to_numpy
from keras_clr._restarts import note_restart
from keras_clr._snapshot import Snapshot


class Restarter:
    """Gives a model a fresh start from another seed.

    Args:
        model: The compiled and built model as it is when `fit` begins.

    Raises:
        ValueError: If the model is not built or has been trained before, or a layer's weights cannot be drawn anew.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        if not model.built:
            raise ValueError(
                "on_stuck='restart' needs a model whose weights exist when `fit` begins. Start it with "
                "`keras.Input(...)`, or call it on a batch first."
            )
        if int(model.optimizer.iterations):
            raise ValueError(
                "on_stuck='restart' would throw away what this model has learned: its optimizer has counted "
                f"{int(model.optimizer.iterations)} updates already. Compile it anew if that is meant, or use "
                "on_stuck='stop'."
            )
        # Of the first weights: another run draws others, the same run the same ones, and no random state moves.
        self._seed = functools.reduce(
            lambda seed, variable: zlib.crc32(np.ascontiguousarray(to_numpy(variable)).tobytes(), seed),
            model.trainable_variables,
            0,
        )
        fresh_weights(model, seed=self._seed)  # Refuses now what it could not do later.
        self._start = Snapshot.take(model)

    def restart(self, number: int) -> None:
        """Puts everything back to where `fit` began, but for the trainable weights, which are new.

        Args:
            number: Of this restart, counted from 1; each draws other weights, and so do runs that began with others.
        """
        # First the weights: should drawing them fail, nothing has changed.
        weights = fresh_weights(self._model, seed=self._seed + number)
        stop_training = self._model.stop_training
        self._start.restore(self._model)
        self._model.stop_training = stop_training
        for variable, value in zip(self._model.trainable_variables, weights, strict=True):
            variable.assign(value)
        note_restart(self._model)
