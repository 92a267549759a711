"""Sets a model's learning rate during `fit`, in the cheapest way that the backend has.

`optimizer.learning_rate = x` is right everywhere and costs more than all else a rate callback does. Each
writer below puts the same number into the same place by a shorter way; where the ground for it is missing,
the assignment is taken instead. `benchmarks/callback_overhead.py` measures what it saves.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_clr._keras.api import keras, ops, raw, to_array
from keras_clr._keras.momentum import MomentumWriter
from keras_clr._keras.optimizers import leaf_optimizers


class LearningRateWriter:
    """Sets and reads the one learning rate of all optimizers of a model, by assignment.

    Args:
        model: The compiled Keras model, none of whose optimizers has a schedule.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._leaves = leaf_optimizers(model.optimizer)

    def write(self, rate: float) -> None:
        """Sets the rate for the training step that comes next: only right in `on_train_batch_begin`."""
        self.assign(rate)

    def assign(self, rate: float) -> None:
        """Sets the rate at any time: the public way."""
        self._sync()
        for leaf in self._leaves:
            leaf.learning_rate = rate

    def read(self) -> float:
        """The rate of the first optimizer."""
        self._sync()
        return float(to_array(self._leaves[0].learning_rate))

    def rounded(self, rate: float) -> float:
        """`rate` as the optimizer's variable holds it."""
        return float(ops.cast(rate, self._leaves[0].learning_rate.dtype))

    def close(self) -> None:
        """Gives back what was borrowed from the model."""

    def _sync(self) -> None:
        # JAX: during an epoch the trainer's copy of the variables is the true one, until it is synced.
        if hasattr(self._model, "jax_state_sync"):
            self._model.jax_state_sync()


class _TensorFlowWriter(LearningRateWriter):
    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._variables = [raw(leaf.learning_rate) for leaf in self._leaves]
        # Mirrored over replicas, a variable is of another type, with an `assign` of its own kind.
        self._plain = all(type(variable).__name__ == "ResourceVariable" for variable in self._variables)

    def write(self, rate: float) -> None:
        if not self._plain:
            self.assign(rate)
            return
        for variable in self._variables:
            # Keras' own assignment converts, checks the shape and reads the variable back: three times the cost.
            variable.assign(rate, read_value=False)


class _TorchWriter(LearningRateWriter):
    def write(self, rate: float) -> None:
        for leaf in self._leaves:
            leaf.learning_rate.value.data.fill_(rate)


class _JaxWriter(LearningRateWriter):
    """Hands the rate to the compiled step along with the state that goes into it.

    Keras' JAX trainer keeps the state of a running epoch outside the variables. Assigning to one makes it
    write all of them back and read all of them again: about 15 us a variable and batch, which grows with the
    model. So during `fit` the model's `train_function` is wrapped by one that puts the rate into the state.
    The wrapper does nothing without a rate to hand over, so one that an exception left behind is harmless.
    """

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self._pending: np.generic | None = None
        self._pending_in: Any = None
        self._places: list[int] = []
        self.step = model.train_function
        # What an exception in an earlier `fit` left behind.
        while isinstance(left_behind := getattr(self.step, "__self__", None), (_JaxWriter, MomentumWriter)):
            self.step = left_behind.step
        if self.step is not None:
            self._wrapper = self._with_rate
            model.train_function = self._wrapper

    def write(self, rate: float) -> None:
        if self._places and self._pending is None and not self._model._jax_state_synced:
            self._pending = self._dtype.type(rate)
            self._pending_in = self._model._jax_state
        else:
            # The epoch's first batch, or a trainer that does not work as we know it.
            self._places, self._pending = [], None
            self.assign(rate)

    def _with_rate(self, state: Any, *args: Any) -> Any:
        # A rate that an exception kept from being used must not reach the first step of the next `fit`.
        if self._pending is not None and self._pending_in is self._model._jax_state:
            optimizer_state = list(state[2])
            for place in self._places:
                optimizer_state[place] = self._pending
            state = (*state[:2], optimizer_state, *state[3:])
        elif not self._places:
            self._places = self._find_places(state)
        self._pending = self._pending_in = None
        return self.step(state, *args)

    def _find_places(self, state: Any) -> list[int]:
        """Where the rates are in the trainer's state; nowhere if it does not look as it should."""
        variables = self._model.optimizer.variables
        wanted = {id(leaf.learning_rate) for leaf in self._leaves}
        places = [i for i, variable in enumerate(variables) if id(variable) in wanted]
        if not (isinstance(state, tuple) and len(state) == 4):
            return []
        if len(state[2]) - len(variables) not in (0, 1):  # A momentum may ride along behind.
            return []
        if not places or len(places) != len(wanted):
            return []
        self._dtype = np.dtype(state[2][places[0]].dtype)
        return places

    def close(self) -> None:
        if self.step is not None and self._model.train_function is self._wrapper:
            self._model.train_function = self.step


_WRITERS = {"tensorflow": _TensorFlowWriter, "jax": _JaxWriter, "torch": _TorchWriter}


def learning_rate_writer(model: Any) -> LearningRateWriter:
    """The writer for `model` on the backend that runs. To be made when training begins, then closed."""
    return _WRITERS.get(keras.backend.backend(), LearningRateWriter)(model)
