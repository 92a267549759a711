"""What a compiled model's optimizer is made of: wrappers, schedules, counters, accumulation."""

from __future__ import annotations

from typing import Any

from keras_clr._keras.api import KERAS_2, keras, to_array


def leaf_optimizers(optimizer: Any) -> list[Any]:
    """The optimizers that hold a learning rate: through LossScaleOptimizer and MultiOptimizer."""
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        return leaf_optimizers(inner)
    # MultiOptimizer raises on `.learning_rate`: its parts are in `.optimizers`.
    parts = getattr(optimizer, "optimizers", None)
    if parts:
        return [leaf for part in parts for leaf in leaf_optimizers(part)]
    return [optimizer]


def build_parts(model: Any) -> None:
    """Lets a `MultiOptimizer` that chooses its parts by a function choose them now, not in the first step.

    Raises:
        ValueError: If it cannot, because the model has no variables yet.
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if getattr(optimizer, "optimizers", None) != []:
        return
    if not model.built:
        raise ValueError(
            "The optimizers of this MultiOptimizer are only known when the model is built. Build it before `fit`: "
            "begin it with `keras.Input(...)`, or call `model.build(...)`."
        )
    model.optimizer.build(model.trainable_variables)


def is_legacy(optimizer: Any) -> bool:
    """Whether it is one of Keras 2's `keras.optimizers.legacy`, which keep their numbers in variables."""
    return KERAS_2 and hasattr(optimizer, "_hyper")


def name_of(optimizer: Any) -> str:
    """The name that its owner or Keras gave a leaf optimizer."""
    return str(optimizer._name if is_legacy(optimizer) else optimizer.name)


def rate_source(optimizer: Any) -> Any | None:
    """The schedule or function that a leaf optimizer was built with; None if its rate can be set."""
    # The public property calls the schedule and returns a tensor: only the private name tells them apart.
    rate = optimizer._hyper["learning_rate"] if is_legacy(optimizer) else optimizer._learning_rate
    schedule = keras.optimizers.schedules.LearningRateSchedule
    return rate if isinstance(rate, schedule) or callable(rate) else None


def accumulation_steps(optimizer: Any) -> int:
    """Batches in one update: `gradient_accumulation_steps`, 1 without.

    Raises:
        ValueError: If the optimizers of one model accumulate over different numbers of batches.
    """
    # Keras 2 cannot accumulate.
    steps = {getattr(leaf, "gradient_accumulation_steps", None) or 1 for leaf in leaf_optimizers(optimizer)}
    if len(steps) > 1:
        raise ValueError(
            "All optimizers of a model must have the same `gradient_accumulation_steps`, since one "
            f"cycle is counted in updates. Received: {sorted(steps)}"
        )
    return int(steps.pop())


def trained_batches(optimizer: Any) -> int:
    """How many batches the optimizer has counted (not updates: its position within an accumulation).

    On JAX, only right while the model's variables are in sync, as between two epochs.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    # `iterations` is this number divided by `gradient_accumulation_steps`.
    # Not int(): a variable that is mirrored over replicas has no such conversion.
    # Keras 2 has only that one, and makes it when it is first asked for.
    return int(to_array(inner.iterations if KERAS_2 else inner._iterations))


def momentum_of(optimizer: Any) -> float:
    """What is kept of the last step (SGD's `momentum`) or gradient (`beta_1`): the most of several optimizers."""
    kept = [getattr(leaf, "momentum", 0) or getattr(leaf, "beta_1", 0) for leaf in leaf_optimizers(optimizer)]
    return max(float(share or 0) for share in kept)
