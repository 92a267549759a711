"""Lets momentum vary from batch to batch in training that is compiled.

Keras reads `momentum` (`beta_1`) as a Python number while it compiles a step: an assignment afterwards changes
nothing, without a word. So, for the length of each step and no longer, the attribute holds something that the
compiled step reads anew: a variable that TensorFlow's graph refers to, a value that rides along with the state
that JAX's step takes, or on torch, which compiles nothing, the number itself. Between two steps the optimizer
is as its owner built it: a model saved in mid-training has a plain number in its config and no variable more
than usual, and an exception leaves nothing behind but a wrapper that takes itself away in the next step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_clr._keras.api import KERAS_2, keras, raw, to_array
from keras_clr._keras.live_number import live_number
from keras_clr._keras.optimizers import is_legacy, leaf_optimizers, name_of

_NAMES = ("momentum", "beta_1", "adam_beta_1")  # The last is Muon's, for what it does not orthogonalise.
_COMPILED_UPDATE = "_update_step_xla"
_TINY = float(np.finfo("float32").tiny)


class _LegacyNumbers(dict[str, Any]):
    """The numbers of one of Keras 2's legacy optimizers, which keeps them in variables: the compiled step reads those.

    Args:
        optimizer: The optimizer.
    """

    def __init__(self, optimizer: Any) -> None:
        super().__init__(optimizer._hyper)
        self._optimizer = optimizer

    def __getitem__(self, name: str) -> Any:
        value = self._optimizer._hyper[name]
        return float(to_array(value)) if hasattr(value, "assign") else value

    def __setitem__(self, name: str, value: float) -> None:
        setattr(self._optimizer, name, value)


def momentum_attributes(optimizer: Any) -> list[tuple[dict[str, Any], str]]:
    """Where a model's optimizers keep their momentum.

    Args:
        optimizer: The compiled model's.

    Returns:
        (attributes of a leaf optimizer, name) for each, at least one a leaf.

    Raises:
        ValueError: If one of them has no momentum that could vary.
    """
    found = []
    for leaf in leaf_optimizers(optimizer):
        attributes = _LegacyNumbers(leaf) if is_legacy(leaf) else vars(leaf)
        kind = type(leaf).__name__
        names = [name for name in _NAMES if name in attributes]
        trouble = None
        if not names:
            trouble = "has no momentum: Adam and its relatives (`beta_1`), SGD, RMSprop and Muon (`momentum`) have"
        elif isinstance(leaf, getattr(keras.optimizers, "ScheduleFreeAdamW", ())):
            trouble = "averages its weights by a `beta_1` that has to stay as it is"
        elif "momentum" in names and attributes["momentum"] == 0:
            trouble = (
                f"was built without momentum. Compile with `{kind}(..., momentum=0.9)`: any number above 0 will do"
            )
        elif not all(isinstance(attributes[name], (int, float)) for name in names):
            trouble = f"has a {names[0]} that is no number: {attributes[names[0]]!r}"
        if trouble is not None:
            raise ValueError(
                f"cycle_momentum=True needs optimizers with momentum, but '{name_of(leaf)}' ({kind}) {trouble}. "
                "Or pass cycle_momentum=False."
            )
        found += [(attributes, name) for name in names]
    return found


class MomentumWriter:
    """Hands a momentum to each training step of a model. This one is right wherever nothing is compiled.

    Args:
        model: The compiled Keras model.

    Raises:
        ValueError: If its optimizer has no momentum that could vary, or Keras spreads the model over devices with
            JAX. Nothing has been touched then.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._optimizer = model.optimizer
        self._places = momentum_attributes(model.optimizer)
        self._pending: float | None = None
        self._pending_in: Any = None
        self._last_run: Any = None
        self.step: Any = None
        self._wrapper = self._with_momentum  # One object: a bound method is a new one each time.

    def serves(self, model: Any) -> bool:
        """Whether it can be opened again for `model`, which saves TensorFlow compiling the step once more."""
        return model is self._model and model.optimizer is self._optimizer

    def open(self) -> None:
        """Puts itself before the model's training function: after the rate's writer, when training begins."""
        self._model.make_train_function()
        left_behind = getattr(self._model.train_function, "__self__", None)
        if isinstance(left_behind, MomentumWriter):  # By an exception in an earlier `fit`.
            left_behind.close()
        self._install()

    def write(self, momentum: float) -> None:
        """Sets the momentum for the training step that comes next: only right in `on_train_batch_begin`."""
        if self._model.train_function is not self._wrapper:
            self._install()  # Another callback had the step compiled anew.
        self._pending = momentum
        self._pending_in = self._run()

    def close(self) -> None:
        """Gives the model's training function back."""
        self._pending = None
        if self._model.train_function is self._wrapper:
            self._model.train_function = self.step

    def _run(self) -> Any:
        # Keras makes a new one in each `fit`; Keras 2 also in each `evaluate`, and leaves it without epochs.
        history = vars(self._model).get("history")
        if hasattr(history, "epoch"):
            self._last_run = history
        return self._last_run

    def _install(self) -> None:
        self.step = self._model.train_function
        self._model.train_function = self._wrapper

    def _with_momentum(self, *args: Any) -> Any:
        momentum, self._pending = self._pending, None
        if momentum is None or self._pending_in is not self._run():
            # A step of somebody else: an exception kept us from going at the end of our `fit`.
            self.close()
            return self.step(*args)
        own = [attributes[name] for attributes, name in self._places]
        live = self._live_number(momentum)
        try:
            # Past `__setattr__`, which would make a variable one of the optimizer's, and save it.
            for attributes, name in self._places:
                attributes[name] = live
            return self._live_step(*args)
        finally:
            for (attributes, name), number in zip(self._places, own, strict=True):
                attributes[name] = number

    def _live_number(self, momentum: float) -> Any:
        # At exactly 0, optimizers leave the velocity out, and would find an old one at the next step.
        return max(momentum, _TINY)

    def _live_step(self, *args: Any) -> Any:
        return self.step(*args)


class _TensorFlowMomentum(MomentumWriter):
    def _install(self) -> None:
        function = self._model.train_function
        if self.step is not function:
            # Compiled when it is first called, which is within `_with_momentum`: with the variable in place.
            self._variable = live_number()
            self._model.make_train_function(force=True)
            self._live = self._model.train_function
        self.step = function
        self._model.train_function = self._wrapper

    def _live_number(self, momentum: float) -> Any:
        raw(self._variable).assign(momentum, read_value=False)  # Half the cost of Keras' own assignment.
        return self._variable

    def _live_step(self, *args: Any) -> Any:
        return self._live(*args)


class _Keras2Momentum(_TensorFlowMomentum):
    """Keras 2: on a GPU an optimizer also compiles its own update, once and with the number it had then."""

    def _install(self) -> None:
        if self.step is not self._model.train_function:
            self._updates = [(vars(leaf), _compiled_anew(leaf)) for leaf in leaf_optimizers(self._optimizer)]
        super()._install()

    def _live_step(self, *args: Any) -> Any:
        for attributes, update in self._updates:
            attributes[_COMPILED_UPDATE] = update
        try:
            return super()._live_step(*args)
        finally:
            for attributes, _ in self._updates:
                del attributes[_COMPILED_UPDATE]


def _compiled_anew(optimizer: Any) -> Any:
    import tensorflow as tf

    # The key, as in Keras' own, tells variables of one shape apart.
    def update(gradient: Any, variable: Any, key: int) -> Any:  # noqa: ARG001
        return optimizer._update_step(gradient, variable)

    return tf.function(update, jit_compile=True)


class _JaxMomentum(MomentumWriter):
    def __init__(self, model: Any) -> None:
        super().__init__(model)
        if keras.distribution.distribution() is not None:
            raise ValueError(
                "cycle_momentum=True: on JAX, momentum cannot vary in a model that `keras.distribution` spreads over "
                f"devices. Received: {keras.distribution.distribution()!r}. Pass cycle_momentum=False."
            )
        self._variable = live_number()

    def _live_number(self, momentum: float) -> Any:
        self._momentum = np.dtype(self._variable.dtype).type(momentum)
        return self._variable

    def _live_step(self, state: Any, *args: Any) -> Any:
        """With one entry more in the optimizer's state: for JAX another step, which it compiles apart."""
        attributes = vars(self._optimizer)
        attributes["stateless_apply"] = self._stateless_apply
        try:
            logs, state = self.step((*state[:2], [*state[2], self._momentum], *state[3:]), *args)
        finally:
            del attributes["stateless_apply"]
        return logs, (*state[:2], list(state[2])[:-1], *state[3:])

    def _stateless_apply(self, optimizer_variables: Any, grads: Any, trainable_variables: Any) -> Any:
        *own, momentum = optimizer_variables
        self._variable.current = momentum
        try:
            trained, own = type(self._optimizer).stateless_apply(self._optimizer, own, grads, trainable_variables)
        finally:
            self._variable.current = None
        return trained, [*own, momentum]


_WRITERS = {"tensorflow": _TensorFlowMomentum, "jax": _JaxMomentum}


def momentum_writer(model: Any) -> MomentumWriter:
    """The writer for `model` on the backend that runs. To be opened when training begins, then closed."""
    if KERAS_2:
        legacy = any(is_legacy(leaf) for leaf in leaf_optimizers(model.optimizer))
        return (MomentumWriter if legacy else _Keras2Momentum)(model)
    return _WRITERS.get(keras.backend.backend(), MomentumWriter)(model)
