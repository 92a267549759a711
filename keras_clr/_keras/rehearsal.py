"""What a model does with a batch, without a trace: does a training step get through, do samples keep apart?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_clr._errors import attempt
from keras_clr._keras.random_state import capture_random_state
from keras_clr._keras.tensors import Batch, apart, tensors, to_numpy


def refusal(model: Any, batch: Batch) -> str | None:
    """Why a training step on this batch stops with an error; None if it gets through.

    Outputs and loss only, without sample weights: metrics, the gradient and the update are left out.

    Args:
        model: A compiled and built model without a training step of its own.
        batch: As `fit` would feed it.
    """
    x, y, _ = batch

    def step() -> None:
        inputs, labels = tensors((x, y))
        y_pred = _call(model, inputs, training=True)
        model._compute_loss(x=inputs, y=labels, y_pred=y_pred, sample_weight=None, training=True)

    if own_step(model):
        return None
    with _no_trace(model):
        return attempt(step)[1]


def mixing(model: Any, batch: Batch) -> float | None:
    """How much the answer to a sample depends on the others in its batch, in inference mode.

    The second half of the batch is replaced by one sample; the answers to the first half should not change.

    Returns:
        Largest change by largest answer of the first half; None if it cannot be told.
    """
    x, _, weight = batch
    half = len(weight) // 2
    if half < 1:
        return None
    other = keras.tree.map_structure(lambda a: np.concatenate([a[:half], np.repeat(a[:1], len(a) - half, axis=0)]), x)
    # Each from the same state, so that a layer that draws in inference mode draws the same.
    before, after = ([part[:half] for part in _answers(model, inputs)] for inputs in (x, other))
    if not all(a.dtype.kind == "f" and np.isfinite(a).all() for a in (*before, *after)):
        return None
    size = max(float(np.abs(a).max(initial=0.0)) for a in before)
    change = max(float(np.abs(a - b).max(initial=0.0)) for a, b in zip(before, after, strict=True))
    return change / size if size else None


def own_step(model: Any) -> bool:
    """Whether the model has a training step of its own: what that does cannot be rehearsed."""
    owner = next(c for c in type(model).__mro__ if "train_step" in vars(c))
    return not owner.__module__.startswith("keras.src.")


def _answers(model: Any, x: Any) -> list[np.ndarray]:
    with _no_trace(model), apart(gradient=False):
        return [to_numpy(part) for part in keras.tree.flatten(_call(model, tensors(x), training=False))]


def _call(model: Any, x: Any, training: bool) -> Any:
    return model(x, training=training) if model._call_has_training_arg else model(x)


@contextlib.contextmanager
def loss_apart(model: Any) -> Iterator[None]:
    """A compiled loss is built when it is first used. If it was not, the first `fit` must find it so."""
    loss = getattr(model, "_compile_loss", None)
    if loss is None or loss.built:
        yield
        return
    model._compile_loss = type(loss)(
        loss._user_loss, loss._user_loss_weights, reduction=loss.reduction, output_names=loss.output_names
    )
    try:
        yield
    finally:
        model._compile_loss = loss


@contextlib.contextmanager
def _no_trace(model: Any) -> Iterator[None]:
    give_back = capture_random_state()
    try:
        with loss_apart(model), keras.StatelessScope([(v, v.value) for v in model.variables]):
            yield
    finally:
        give_back()
