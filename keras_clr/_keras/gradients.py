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
from typing import Any, ClassVar

import keras
import numpy as np

from keras_clr._keras.gradient_reading import BatchGradient, GradientReading
from keras_clr._keras.tensors import Batch, apart, numpy_copy, tensors, to_numpy, weights_for


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
        self._search = self._step(_any_nonzero)
        self._jax_outputs: dict[Any, Any] = {}

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
        """Looks for gradient entries that are not exactly 0 (NaN counts as one).

        Args:
            batches: What to look at. Without a weight of its own for each sample, gradients that cancel look like 0.
            num_draws: How often to look at each batch, seed generators moving on in between.
            weights: Trainable weights to look at instead of the model's own.
        """
        model = self._model
        trainable = _values(model.trainable_variables) if weights is None else list(weights)
        state = _values(model.non_trainable_variables)
        unconnected = 0
        zeros = [True] * len(trainable)
        with apart(gradient=True):
            for x, y, sample_weight in itertools.chain.from_iterable([batches] * num_draws):
                found, state = self._search(trainable, state, x, y, sample_weight)
                unconnected = sum(nonzero is None for nonzero in found)
                parts = zip(zeros, found, strict=True)
                zeros = [zero and nonzero is not None and not bool(nonzero) for zero, nonzero in parts]
                if not any(zeros):
                    break
        return GradientReading(tuple(zeros), unconnected, num_draws)

    def measure(self, batch: Batch) -> BatchGradient:
        """Loss and gradient of one batch, with the dropout of the next training step."""
        model = self._model
        trainable = _values(model.trainable_variables)
        state = _values(model.non_trainable_variables)
        with apart(gradient=True):
            (loss, gradients), _ = self._whole(trainable, state, *batch)
            scale = float(to_numpy(model.optimizer.scale_loss(keras.ops.ones(()))))
        arrays = [None if g is None else to_numpy(g) for g in gradients]
        if keras.backend.backend() == "jax" and any(g is not None and not g.any() for g in arrays):
            # JAX gives a variable that the loss does not depend on a gradient of 0.
            arrays = [g if used else None for g, used in zip(arrays, self._jax_connections(*batch), strict=True)]
        if scale != 1.0:
            arrays = [None if g is None else g.astype(np.float64) / scale for g in arrays]
        return BatchGradient(float(to_numpy(loss)), tuple(arrays))

    @functools.cached_property
    def _whole(self) -> Callable[..., Any]:
        return self._step(_as_it_is)

    def _jax_connections(self, *batch: Any) -> list[bool]:
        """For each trainable variable, if the loss is computed from it."""
        import jax

        model = self._model
        state, (x, y, weight) = _values(model.non_trainable_variables), tensors(batch)
        weight = self._jax_weights(_values(model.trainable_variables), state, x, weight)
        rest = [state, _values(model.metrics_variables), x, y, weight]
        optimizer = _values(model.optimizer.variables)

        def loss(trainable: Any) -> Any:
            options = {"training": True, "optimizer_variables": optimizer}
            return model.compute_loss_and_updates(trainable, *rest, **options)[0]

        program = jax.make_jaxpr(loss)(_values(model.trainable_variables)).jaxpr
        needed = {id(variable) for variable in program.outvars}
        for equation in reversed(program.eqns):
            if equation.primitive.name != "stop_gradient" and any(id(v) in needed for v in equation.outvars):
                needed |= {id(variable) for variable in equation.invars}
        return [id(variable) in needed for variable in program.invars]

    def _jax_weights(self, trainable: Any, state: Any, x: Any, sample_weight: Any) -> Any:
        """Weights as `weights_for` makes them; the outputs are not computed, only their shapes, and only once."""
        import jax

        form = tuple(tensor.shape for tensor in keras.tree.flatten(x))
        if form not in self._jax_outputs:
            options = {"training": True} if self._model._call_has_training_arg else {}
            call = functools.partial(self._model.stateless_call, **options)
            self._jax_outputs[form], _ = jax.eval_shape(call, trainable, state, x)
        return weights_for(self._jax_outputs[form], sample_weight)

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

    def _step(self, summarise: Callable[..., Any]) -> Callable[..., Any]:
        """From (trainable, state, *batch) to what `summarise` makes of (loss, gradients), and the state afterwards."""
        makers = {"tensorflow": self._tensorflow, "jax": self._jax, "torch": self._torch}
        return makers[keras.backend.backend()](summarise)

    def _training_loss(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any]:
        """The loss as it is, and scaled by the optimizer."""
        model = self._model
        y_pred = model(x, training=True) if model._call_has_training_arg else model(x)
        weights = weights_for(y_pred, sample_weight)
        loss = model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weights, training=True)
        return loss, model.optimizer.scale_loss(loss)

    @contextlib.contextmanager
    def _scope(self, trainable: Sequence[Any], state: Sequence[Any]) -> Iterator[Any]:
        model = self._model
        mapping = [
            *zip(model.trainable_variables, trainable, strict=True),
            *zip(model.non_trainable_variables, state, strict=True),
        ]
        with keras.StatelessScope(mapping, collect_losses=True) as scope:
            yield scope

    def _tensorflow(self, summarise: Callable[..., Any]) -> Callable[..., Any]:
        import tensorflow as tf

        def step(trainable: Any, state: Any, x: Any, y: Any, sample_weight: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(trainable)
                with self._scope(trainable, state) as scope:
                    loss, scaled = self._training_loss(x, y, sample_weight)
            gradients = tape.gradient(scaled, trainable)
            return summarise(loss, gradients), _current(scope, self._model.non_trainable_variables)

        def stepped(trainable: Any, state: Any, *batch: Any) -> Any:
            return step(tensors(trainable), tensors(state), *tensors(batch))

        if self._model.run_eagerly:
            return stepped
        compiled = tf.function(step, autograph=False, jit_compile=self._model.jit_compile)
        traces: dict[Any, Any] = {}

        def traced(trainable: Any, state: Any, *batch: Any) -> Any:
            # Traced by hand: TensorFlow counts the traces of all models together, and would warn of too many.
            # Values, not variables: those that come back from a first call are no variables any more.
            values = ([tf.convert_to_tensor(v) for v in part] for part in (tensors(trainable), tensors(state)))
            arguments = (*values, *tensors(batch))
            form = tuple((tensor.dtype, tuple(tensor.shape)) for tensor in keras.tree.flatten(arguments[2:]))
            if form not in traces:
                traces[form] = compiled.get_concrete_function(*arguments)
            return traces[form](*arguments)

        return traced

    def _torch(self, summarise: Callable[..., Any]) -> Callable[..., Any]:
        import torch

        def step(trainable: Any, state: Any, *batch: Any) -> Any:
            model = self._model
            leaves = [value.detach().clone().requires_grad_() for value in tensors(trainable)]
            mode = model.training
            model.train()
            try:
                with self._scope(leaves, tensors(state)) as scope:
                    loss, scaled = self._training_loss(*tensors(batch))
                    # torch refuses a loss that depends on none of them.
                    gradients: Any = [None] * len(leaves)
                    if scaled.requires_grad:
                        gradients = torch.autograd.grad(scaled, leaves, allow_unused=True)
            finally:
                model.train(mode)
            return summarise(loss, gradients), [s.detach() for s in _current(scope, model.non_trainable_variables)]

        return step

    def _jax(self, summarise: Callable[..., Any]) -> Callable[..., Any]:
        import jax

        def step(trainable: Any, state: Any, metrics: Any, optimizer: Any, x: Any, y: Any, weight: Any) -> Any:
            gradients, aux = jax.grad(self._model.compute_loss_and_updates, has_aux=True)(
                trainable, state, metrics, x, y, weight, training=True, optimizer_variables=optimizer
            )
            return summarise(aux[0], gradients), aux[2]

        if self._model.jit_compile and not self._model.run_eagerly:
            step = jax.jit(step)

        def stepped(trainable: Any, state: Any, *batch: Any) -> Any:
            metrics = _values(self._model.metrics_variables)
            optimizer = _values(self._model.optimizer.variables)
            x, y, weight = tensors(batch)
            weight = self._jax_weights(tensors(trainable), state, x, weight)
            return step(tensors(trainable), state, metrics, optimizer, x, y, weight)

        return stepped


def _any_nonzero(_: Any, gradients: Sequence[Any]) -> list[Any]:
    """For each gradient, on the device, if an entry is not 0; None where there is no connection."""
    rows = [g.values if _is_sparse(g) else g for g in gradients]
    return [None if g is None else keras.ops.any(keras.ops.not_equal(g, 0.0)) for g in rows]


def _as_it_is(loss: Any, gradients: Sequence[Any]) -> tuple[Any, list[Any]]:
    if any(_is_sparse(g) for g in gradients):
        import tensorflow as tf

        # Rows that were used several times are added up.
        gradients = [tf.convert_to_tensor(g) if _is_sparse(g) else g for g in gradients]
    return loss, list(gradients)


def _is_sparse(gradient: Any) -> bool:
    # An embedding's gradient on TensorFlow holds the rows that were used.
    return type(gradient).__name__ == "IndexedSlices"


def _values(variables: Sequence[Any]) -> list[Any]:
    return [v.value for v in variables]


def _current(scope: Any, variables: Sequence[Any]) -> list[Any]:
    return [scope.get_current_value(v) for v in variables]
