"""What the next training step would do to a model, asked without changing the model by a bit.

The gradient is taken through the two lines of Keras' own `train_step` (call the model in training
mode, compute the compiled loss) inside a `StatelessScope`, which catches every assignment to a Keras
variable: BatchNorm statistics, seeds and metrics stay. Compiled or eager follows the model: on
TensorFlow it decides whether the loss sees logits behind a softmax.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np

Batch = tuple[Any, Any, Any]
"""Inputs, labels and sample weights of one batch, as numpy arrays (inputs may be nested)."""


@dataclass(frozen=True)
class GradientReading:
    """Gradient of the training loss on some batches.

    Attributes:
        zero: True if every entry is exactly 0 for every trainable variable, in every draw.
        num_variables: Trainable variables.
        num_unconnected: Trainable variables that the loss does not depend on at all: `zero` is False then.
        num_draws: Times each sample was looked at, each with its own dropout.
    """

    zero: bool
    num_variables: int
    num_unconnected: int
    num_draws: int


class GradientProbe:
    """Takes the gradient of a training step. Get it by `of`: what it compiles serves all looks at a model.

    Args:
        model: A compiled model whose optimizer is built.

    Raises:
        NotImplementedError: If the model has a training step of its own.
    """

    # The probe holds its model weakly, or no model would ever be freed.
    _of_models: ClassVar[weakref.WeakKeyDictionary[Any, GradientProbe]] = weakref.WeakKeyDictionary()

    @classmethod
    def of(cls, model: Any) -> GradientProbe:
        """The probe of this model, a new one if it has been compiled again since."""
        probe = cls._of_models.get(model)
        if probe is None or not probe._fits(model):
            probe = cls._of_models[model] = cls(model)
        return probe

    def __init__(self, model: Any) -> None:
        owner = next(c for c in type(model).__mro__ if "train_step" in vars(c))
        if not owner.__module__.startswith("keras.src."):
            raise NotImplementedError(
                f"{type(model).__name__} has a `train_step` of its own: what it does with the gradient cannot be known."
            )
        self._weak_model = weakref.ref(model)
        self._made_for = [weakref.ref(part) for part in self._parts(model)]
        makers = {"tensorflow": self._tensorflow, "jax": self._jax, "torch": self._torch}
        self._count = makers[keras.backend.backend()]()

    @staticmethod
    def _parts(model: Any) -> tuple[Any, ...]:
        # `compile` makes these anew.
        return model.optimizer, model._loss_tracker

    def _fits(self, model: Any) -> bool:
        return all(part is made() for part, made in zip(self._parts(model), self._made_for, strict=True))

    @property
    def _model(self) -> Any:
        return self._weak_model()

    def read(self, batches: Sequence[Batch], num_draws: int, weights: Sequence[Any] | None = None) -> GradientReading:
        """Counts gradient entries that are not exactly 0 (NaN counts), up to the first.

        Args:
            batches: What to look at. Without a weight of its own for each sample, gradients that cancel look like 0.
            num_draws: How often to look at each batch, seed generators moving on in between.
            weights: Trainable weights to look at instead of the model's own.
        """
        model = self._model
        trainable = _values(model.trainable_variables) if weights is None else list(weights)
        state = _values(model.non_trainable_variables)
        unconnected = 0
        zero = bool(trainable)
        with _apart(gradient=True):
            for x, y, sample_weight in itertools.chain.from_iterable([batches] * num_draws):
                counts, state = self._count(trainable, state, x, y, sample_weight)
                unconnected = sum(count is None for count in counts)
                zero = zero and not unconnected and not any(int(count) for count in counts)
                if not zero:
                    break
        return GradientReading(zero, len(trainable), unconnected, num_draws)

    def run_without_gradient(self, stops: Sequence[int]) -> list[list[np.ndarray]]:
        """Trainable weights now and after so many steps of the optimizer on gradients of 0; the model stays."""
        optimizer, weights = self._model.optimizer, self._model.trainable_variables
        variables = [*weights, *optimizer.variables]
        places, saved = [[numpy_copy(v) for v in weights]], [numpy_copy(v) for v in variables]
        try:
            for num_steps in np.diff([0, *stops]):
                for _ in range(num_steps):
                    self._apply_zeros()
                places.append([numpy_copy(v) for v in weights])
        finally:
            for variable, value in zip(variables, saved, strict=True):
                variable.assign(value)
        return places

    def _apply_zeros(self) -> None:
        optimizer, weights = self._model.optimizer, self._model.trainable_variables
        if keras.backend.backend() != "jax":
            optimizer.apply([keras.ops.zeros(v.shape, v.dtype) for v in weights], weights)
            return
        # Not `apply`: outside of a compiled function the loss scale's conditional leaves tracers in the variables.
        new_weights, new_state = self._jax_step(_values(weights), _values(optimizer.variables))
        for variable, value in zip([*weights, *optimizer.variables], [*new_weights, *new_state], strict=True):
            variable.assign(value)

    @functools.cached_property
    def _jax_step(self) -> Callable[..., Any]:
        import jax

        def step(weights: Any, state: Any) -> Any:
            zeros = [jax.numpy.zeros_like(value) for value in weights]
            return self._model.optimizer.stateless_apply(state, zeros, weights)

        jitted: Callable[..., Any] = jax.jit(step)
        return jitted

    def _training_loss(self, x: Any, y: Any, sample_weight: Any) -> Any:
        model = self._model
        y_pred = model(x, training=True) if model._call_has_training_arg else model(x)
        loss = model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=True)
        return model.optimizer.scale_loss(loss)

    @contextlib.contextmanager
    def _scope(self, trainable: Sequence[Any], state: Sequence[Any]) -> Iterator[Any]:
        model = self._model
        mapping = [
            *zip(model.trainable_variables, trainable, strict=True),
            *zip(model.non_trainable_variables, state, strict=True),
        ]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            yield scope

    def _tensorflow(self) -> Callable[..., Any]:
        import tensorflow as tf

        def count(trainable: Any, state: Any, x: Any, y: Any, sample_weight: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(trainable)
                with self._scope(trainable, state) as scope:
                    loss = self._training_loss(x, y, sample_weight)
            counts = [
                # An embedding's gradient holds the rows that were used.
                None if g is None else tf.math.count_nonzero(getattr(g, "values", g))
                for g in tape.gradient(loss, trainable)
            ]
            return counts, _current(scope, self._model.non_trainable_variables)

        if not self._model.run_eagerly:
            count = tf.function(count, autograph=False, jit_compile=self._model.jit_compile)

        def counted(trainable: Any, state: Any, *batch: Any) -> Any:
            return count(_tensors(trainable), _tensors(state), *_tensors(batch))

        return counted

    def _torch(self) -> Callable[..., Any]:
        import torch

        def count(trainable: Any, state: Any, *batch: Any) -> Any:
            model = self._model
            leaves = [value.detach().clone().requires_grad_() for value in _tensors(trainable)]
            mode = model.training
            model.train()
            try:
                with self._scope(leaves, _tensors(state)) as scope:
                    loss = self._training_loss(*_tensors(batch))
                    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
            finally:
                model.train(mode)
            counts = [None if g is None else int(torch.count_nonzero(g)) for g in gradients]
            return counts, [s.detach() for s in _current(scope, model.non_trainable_variables)]

        return count

    def _jax(self) -> Callable[..., Any]:
        import jax

        def count(trainable: Any, state: Any, metrics: Any, optimizer: Any, x: Any, y: Any, weight: Any) -> Any:
            gradients, aux = jax.grad(self._model.compute_loss_and_updates, has_aux=True)(
                trainable, state, metrics, x, y, weight, training=True, optimizer_variables=optimizer
            )
            return [jax.numpy.count_nonzero(g) for g in gradients], aux[2]

        if self._model.jit_compile and not self._model.run_eagerly:
            count = jax.jit(count)

        def counted(trainable: Any, state: Any, *batch: Any) -> Any:
            metrics = _values(self._model.metrics_variables)
            optimizer = _values(self._model.optimizer.variables)
            return count(_tensors(trainable), state, metrics, optimizer, *_tensors(batch))

        return counted


def predict(model: Any, batches: Sequence[Batch]) -> np.ndarray:
    """Outputs in inference mode. `model.predict` would start a run of its own in mid-training."""
    outputs = []
    for x, _, _ in batches:
        with keras.StatelessScope(), _apart(gradient=False):
            x = _tensors(x)
            y_pred = model(x, training=False) if model._call_has_training_arg else model(x)
            outputs.append(to_numpy(y_pred))
    return np.concatenate(outputs)


@contextlib.contextmanager
def _apart(gradient: bool) -> Iterator[None]:
    """Keeps torch's own random state, from which dropout without a seed draws, and builds a graph only if wanted."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.random.fork_rng(range(torch.cuda.device_count())), torch.set_grad_enabled(gradient):
        yield


def _values(variables: Sequence[Any]) -> list[Any]:
    return [v.value for v in variables]


def _current(scope: Any, variables: Sequence[Any]) -> list[Any]:
    return [scope.get_current_value(v) for v in variables]


def _tensors(structure: Any) -> Any:
    return keras.tree.map_structure(keras.ops.convert_to_tensor, structure)


def to_numpy(tensor: Any) -> np.ndarray:
    """A tensor or variable as an array; `keras.ops.convert_to_numpy` warns on variables with numpy 2."""
    value = tensor.value if isinstance(tensor, keras.Variable) else tensor
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        # numpy has no bfloat16; it goes through float32 and back unchanged.
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value
    return np.asarray(value)


def numpy_copy(variable: Any) -> np.ndarray:
    """The value of a variable, safe from what happens to the variable."""
    return np.array(to_numpy(variable), copy=True)
