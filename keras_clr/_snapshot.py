"""The only file that takes a model's whole state and gives it back.

The whole state is more than the weights: seed generators (dropout), BatchNorm statistics, the optimizer's slots and
count, metrics. Without them a restored run does not repeat. `model.get_weights()` leaves out the seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_clr._keras.tensors import to_numpy


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of a model at one moment, on the host. Taken by `Snapshot.take`.

    The copies are the snapshot's own: training on, on any backend, leaves them as they are, and one snapshot can be
    restored any number of times. It does not hold what is outside the model: the random state of Python, numpy and
    the backend (which decides over the order of a shuffle, and over a `Dropout` without a seed on torch), the
    learning rate's schedule object, `model.history`. For runs that are alike to the bit, set the random seed before
    each, and let the model see one batch before the first (`train_on_batch`, then `restore`): the first `fit` of a
    model draws one order more on JAX and torch, to build the metrics.

    Attributes:
        num_bytes: Size of all copies together.

    Example:
    >>> import keras, numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer="adam", loss="mse")
    >>> snapshot = Snapshot.take(model)
    >>> before = model.get_weights()[0]
    >>> _ = model.fit(np.ones((8, 2)), np.ones(8), verbose=0)
    >>> snapshot.restore(model)
    >>> float(abs(model.get_weights()[0] - before).max())
    0.0
    """

    _model: tuple[np.ndarray, ...]
    _optimizer: tuple[np.ndarray, ...] | None
    _metrics: tuple[tuple[Any, tuple[np.ndarray, ...]], ...]
    _stop_training: bool
    num_bytes: int = field(init=False)

    def __post_init__(self) -> None:
        copies = [*self._model, *(self._optimizer or ()), *(c for _, metric in self._metrics for c in metric)]
        # The only way to set a field of a frozen dataclass.
        object.__setattr__(self, "num_bytes", sum(copy.nbytes for copy in copies))

    @classmethod
    def take(cls, model: Any) -> Snapshot:
        """Copies the whole state of `model`, compiled or not.

        An optimizer that has not trained yet is built first (its slots are created, all zero): otherwise they would
        come into being during training and could not be given back.

        Args:
            model: A built Keras model.

        Raises:
            ValueError: If the model is not built, so that its weights do not exist yet.
        """
        if not getattr(model, "built", False):
            raise ValueError(
                f"Argument `model` must be built. Received: model={_name(model)}, which has no weights yet. Start it "
                "with `keras.Input(...)`, call `model.build(input_shape)`, or call it on a batch."
            )
        _sync(model)
        optimizer = _optimizer_of(model)
        if optimizer is not None and not optimizer.built:
            optimizer.build(model.trainable_variables)
        return cls(
            _model=_copies(model.variables),
            _optimizer=None if optimizer is None else _copies(optimizer.variables),
            _metrics=tuple((metric, _copies(metric.variables)) for metric in model.metrics),
            _stop_training=bool(getattr(model, "stop_training", False)),
        )

    def restore(self, model: Any) -> None:
        """Gives the state back to `model`, bit for bit. Metrics that came into being since are reset.

        Args:
            model: The model that the snapshot was taken from. It may have been trained since, not changed.

        Raises:
            ValueError: If the variables of the model or of its optimizer are not those of the snapshot in number and
                shape, as after a layer was added or `compile` got another optimizer. Nothing has been written then.
        """
        _sync(model)
        optimizer = _optimizer_of(model)
        if (optimizer is None) != (self._optimizer is None):
            there, then = ("no", "one") if optimizer is None else ("an", "none")
            raise ValueError(f"{_name(model)} has {there} optimizer, and had {then} when the snapshot was taken.")
        writes = _pairs("variables", model, model.variables, self._model)
        if optimizer is not None and self._optimizer is not None:
            if not optimizer.built:
                # Compiled again since: the same build as in `take`.
                optimizer.build(model.trainable_variables)
            writes += _pairs("optimizer variables", model, optimizer.variables, self._optimizer)
        taken = {id(metric): copies for metric, copies in self._metrics}
        fresh = []
        for metric in model.metrics:
            copies = taken.get(id(metric), ())
            if copies:
                writes += _pairs(f"variables of metric '{metric.name}'", model, metric.variables, copies)
            else:
                fresh.append(metric)
        for metric in fresh:
            metric.reset_state()
        for variable, copy in writes:
            variable.assign(copy)
        model.stop_training = self._stop_training


def _pairs(what: str, model: Any, variables: Sequence[Any], copies: Sequence[np.ndarray]) -> list[tuple[Any, Any]]:
    """Each variable with its copy, if they fit."""
    if len(variables) != len(copies):
        raise ValueError(
            f"{_name(model)} has {len(variables)} {what}, and had {len(copies)} when the snapshot was taken. Restore "
            "before the model is changed or compiled anew, or take a new snapshot."
        )
    for variable, copy in zip(variables, copies, strict=True):
        if tuple(variable.shape) != copy.shape:
            raise ValueError(
                f"Among the {what} of {_name(model)}, '{variable.path}' has shape {tuple(variable.shape)}, and "
                f"{copy.shape} when the snapshot was taken."
            )
    return list(zip(variables, copies, strict=True))


def _copies(variables: Sequence[Any]) -> tuple[np.ndarray, ...]:
    # To the host: JAX gives the buffers of the last step away to the next one.
    return tuple(_copy(variable) for variable in variables)


def _copy(variable: Any) -> np.ndarray:
    value = to_numpy(variable)
    # All bits 0 (so no -0.0), as in the slots of an optimizer that has not trained: zeros that nobody writes to take no
    # memory, and those slots are two thirds of Adam's state.
    if not np.ascontiguousarray(value).reshape(-1).view(np.uint8).any():
        return np.zeros(value.shape, value.dtype)
    return np.array(value, copy=True)


def _optimizer_of(model: Any) -> Any:
    return getattr(model, "optimizer", None) if getattr(model, "compiled", False) else None


def _sync(model: Any) -> None:
    # JAX: during an epoch the trainer's copy of the variables is the true one, until it is synced.
    if hasattr(model, "jax_state_sync"):
        model.jax_state_sync()


def _name(model: Any) -> str:
    return f"{type(model).__name__} '{getattr(model, 'name', '?')}'"
