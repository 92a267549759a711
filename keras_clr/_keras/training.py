"""Settings of a compiled model that a range test changes for a while, and the loss of a single batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_clr._keras.optimizers import leaf_optimizers, rate_source


@contextmanager
def plain_training(model: Any) -> Iterator[None]:
    """For a while, every optimizer has a rate that can be set, and a step is one batch.

    Schedules and `steps_per_execution` are given back at the end, and with them the compiled function.
    """
    schedules = [(leaf, leaf._learning_rate) for leaf in leaf_optimizers(model.optimizer) if rate_source(leaf)]
    steps_per_execution = model.steps_per_execution
    if not schedules and steps_per_execution == 1:
        yield
        return
    function = model.train_function
    variables = []
    try:
        for leaf, _ in schedules:
            variable = keras.Variable(1.0, dtype=keras.config.floatx(), trainable=False, name="learning_rate")
            # The public setter refuses a float here. JAX hands the tracked variables to the compiled step; on some
            # backends setting the attribute tracks it already.
            leaf._learning_rate = variable
            if not any(tracked is variable for tracked in leaf.variables):
                leaf._track_variable(variable)
            variables.append(variable)
        model.steps_per_execution = 1
        model.make_train_function(force=True)
        yield
    finally:
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()
        for (leaf, schedule), variable in zip(schedules, variables, strict=False):
            leaf._untrack_variable(variable)
            leaf._learning_rate = schedule
        model.steps_per_execution = steps_per_execution
        model.train_function = function


class BatchLoss:
    """Makes the `loss` in the logs that of the batch alone, where Keras has the mean over the epoch so far.

    Args:
        model: The compiled Keras model. To be made when training begins, then closed.

    Raises:
        ValueError: If the model has no metric named "loss".
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        trackers = [metric for metric in model.metrics if metric.name == "loss"]
        if not trackers:
            raise ValueError(
                "The model must report a metric named 'loss', as `compile` arranges and a custom `train_step` may not. "
                f"Received: {[metric.name for metric in model.metrics]}"
            )
        self._zeros = [(variable, np.zeros(variable.shape, variable.dtype)) for variable in trackers[0].variables]
        self._jax_step = None
        if keras.backend.backend() == "jax":
            wanted = {id(variable) for variable, _ in self._zeros}
            self._places = [i for i, variable in enumerate(model.metrics_variables) if id(variable) in wanted]
            self._jax_step = model.train_function
            self._wrapper = self._with_fresh_loss
            model.train_function = self._wrapper

    def forget(self) -> None:
        """Starts the mean anew: to be called when a batch begins."""
        if self._jax_step is not None:
            return
        for variable, zero in self._zeros:
            if type(variable.value).__name__ == "ResourceVariable":
                # TensorFlow, not mirrored over replicas: see `_TensorFlowWriter`.
                variable.value.assign(zero, read_value=False)
            else:
                variable.assign(zero)

    def _with_fresh_loss(self, state: Any, *args: Any) -> Any:
        # JAX: the trainer's own copy is the true one during an epoch; see `learning_rate.py`.
        metrics = list(state[3])
        for place in self._places:
            metrics[place] = np.zeros(metrics[place].shape, metrics[place].dtype)
        return self._jax_step((*state[:3], metrics), *args)  # type: ignore[misc]

    def close(self) -> None:
        """Gives the model's training function back."""
        if self._jax_step is not None and self._model.train_function is self._wrapper:
            self._model.train_function = self._jax_step
