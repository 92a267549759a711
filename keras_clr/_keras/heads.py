"""What stands at the end of a model: activations, loss and metrics of each output. Read only, nothing is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_clr._keras.compiled import HeadLoss, HeadMetric, losses_of, metrics_of, read_loss
from keras_clr._keras.graph import SAME_TENSOR, is_passing, operations_behind, symbolic_outputs
from keras_clr._keras.tensors import to_numpy

_BACKENDS = ("keras", "tensorflow", "jax", "torch")
_RECURRENT = (keras.layers.RNN, keras.layers.Bidirectional)
# The shape stays, so that a Dense layer before them is as good as the last.
_SAME_SHAPE = (
    keras.layers.Activation,
    keras.layers.Softmax,
    keras.layers.Dropout,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    *SAME_TENSOR,
)


@dataclass(frozen=True, eq=False)
class Head:
    """One output of a model.

    Attributes:
        name: Output name.
        units: Size of the last axis, or None if not known.
        rank: Axes without the batch, or None if not known.
        activations: Names from the last layer with weights to the output: () for linear.
        complete: Whether the last layer with weights was found, so that nothing is missing at the front of
            `activations`.
        dense: Name of the last Dense layer, if a new one can take its place and become the output.
        loss: Its loss; None if it has none, or if the model computes its own.
        metrics: Its metrics.
        shape: Sizes of its axes without the batch, None where one is not fixed; None if not known.
        start: Bias of the last Dense layer, if that and no activation makes the output; else None.
        softmax_axis: Axis, counted from the front, of a softmax at the end that is over neither the last one nor the
            batch; else None.
    """

    name: str
    units: int | None
    rank: int | None
    activations: tuple[str, ...] = ()
    complete: bool = False
    dense: str | None = None
    loss: HeadLoss | None = None
    metrics: tuple[HeadMetric, ...] = ()
    shape: tuple[int | None, ...] | None = None
    start: np.ndarray | None = None
    softmax_axis: int | None = None

    def for_labels(self, shape: Sequence[int]) -> Head:
        """What Keras makes of "accuracy" and "crossentropy" for labels of this shape (with the batch axis)."""
        if self.units is None or self.rank is None:
            return self
        columns = shape[-1] if len(shape) > 1 else 1
        if self.units == 1:
            kind = "binary"
        elif len(shape) < self.rank + 1 or columns == 1:
            kind = "sparse"
        else:
            kind = "categorical"
        loss = self.loss
        if loss is not None:
            # Labels without the last axis: Keras takes it from the output, too, and with it the view of the logits.
            squeezed = self.units == 1 and self.rank > 1 and len(shape) == self.rank
            loss = replace(
                loss,
                kind=kind if loss.kind == "crossentropy" else loss.kind,
                sees_logits=loss.sees_logits and not squeezed,
            )
        metrics = tuple(replace(m, kind=kind) if m.kind == "accuracy" else m for m in self.metrics)
        return replace(self, loss=loss, metrics=metrics)


def read_heads(model: Any, x: Any = None) -> tuple[Head, ...]:
    """Reads every output of a built and compiled Keras model.

    Args:
        model: The model; nothing in it changes.
        x: Inputs as for `fit`, of which only shape and dtype are looked at. Without them, of a subclassed model only
            loss and metrics are known.

    Returns:
        One `Head` per output, in the order in which Keras flattens them.
    """
    with symbolic_outputs(model, x) as outputs:
        tensors = keras.tree.flatten(outputs)
        if not all(isinstance(tensor, keras.KerasTensor) for tensor in tensors):
            given = getattr(model, "loss", None)
            outputs = given if isinstance(given, (dict, list, tuple)) else [given]
            tensors = [None] * len(outputs)
        names = _names(model, outputs, len(tensors))
        return tuple(
            replace(_read_head(model, tensor, names[place][0], loss), metrics=metrics_of(model, names, place))
            for place, (tensor, loss) in enumerate(zip(tensors, losses_of(model, names), strict=True))
        )


def _read_head(model: Any, tensor: Any, name: str, loss: Any) -> Head:
    activations: list[str] = []
    complete, dense, start, softmax_axis = False, None, None, None
    # Nothing but what hands on the very same tensor, the same shape, seen so far; and what came last of all.
    same_tensor, same_shape, ends_in_link = True, True, False
    for operation in operations_behind(tensor):
        names = _activations(operation)
        if names is None and not activations and same_shape:
            softmax_axis = _softmax_axis(operation)
            names = None if softmax_axis is None else (f"softmax over axis {softmax_axis}",)
        if names is None:
            break
        ends_in_link = ends_in_link or (same_tensor and names[-1:] in (("softmax",), ("sigmoid",)))
        activations[:0] = names
        if getattr(operation, "weights", ()):
            # What that softmax makes of the numbers of one label can be anything.
            complete = softmax_axis is None
            dense = operation.name if same_shape and _can_be_replaced(model, operation) else None
            bias = getattr(operation, "bias", None)
            if not activations and isinstance(bias, keras.Variable):
                start = to_numpy(bias)
            break
        same_tensor = same_tensor and not names and isinstance(operation, (*SAME_TENSOR, keras.layers.Activation))
        same_shape = same_shape and isinstance(operation, _SAME_SHAPE)
    shape: tuple[Any, ...] = () if tensor is None else tuple(tensor.shape)
    return Head(
        name=name,
        units=shape[-1] if len(shape) > 1 else None,
        rank=len(shape) - 1 if shape else None,
        activations=tuple(activations),
        complete=complete,
        dense=dense,
        shape=shape[1:] if shape else None,
        start=start,
        softmax_axis=softmax_axis,
        loss=read_loss(loss, ends_in_link and tensor.dtype == keras.config.floatx(), len(shape)),
    )


def _can_be_replaced(model: Any, layer: Any) -> bool:
    """True for a Dense layer of the model itself that is called once and leads to its only output."""
    own = any(layer is part for part in getattr(model, "layers", ()))
    alone = len(getattr(model, "outputs", None) or ()) == 1 and len(layer._inbound_nodes) == 1
    return type(layer) is keras.layers.Dense and own and alone


def _activations(operation: Any) -> tuple[str, ...] | None:
    """Names of the functions that an operation ends in: () for none, None if not known."""
    if is_passing(operation):
        return ()
    name = _layer_function(operation)
    if name is not None:
        return (name,)
    if isinstance(operation, keras.layers.TimeDistributed):
        return _activations(operation.layer)
    if isinstance(operation, keras.Model) or not type(operation).__module__.startswith("keras."):
        return None
    if not isinstance(operation, keras.layers.Layer):
        # A function of `keras.ops` or `keras.activations` on a symbolic tensor.
        name = type(operation).__name__.lower()
        known = name in ("sigmoid", "tanh", "relu", "softplus") or (name == "softmax" and operation.axis == -1)
        return (name,) if known else None
    if hasattr(operation, "activation"):
        name = _function_name(operation.activation)
        # What comes last in a recurrent layer is a gate; its limits are those of tanh or sigmoid all the same.
        if name is None or (isinstance(operation, _RECURRENT) and name not in ("tanh", "sigmoid")):
            return None
        return () if name == "linear" else (name,)
    # Without weights and not in the lists above: a layer that does something else.
    return () if operation.weights and not isinstance(operation, _RECURRENT) else None


def _layer_function(layer: Any) -> str | None:
    """Name of the function that a layer without weights is, as `Softmax()`."""
    if isinstance(layer, keras.layers.Softmax):
        nodes = layer._inbound_nodes
        last = len(nodes[0].outputs[0].shape) - 1 if nodes else -1
        return "softmax" if layer.axis in (-1, last) else None
    if isinstance(layer, keras.layers.ReLU):
        return "leaky_relu" if layer.negative_slope else "relu"
    if isinstance(layer, keras.layers.LeakyReLU):
        return "leaky_relu"
    return "elu" if isinstance(layer, keras.layers.ELU) and layer.alpha == 1.0 else None


def _softmax_axis(operation: Any) -> int | None:
    # The layer, or the function of `keras.ops` on a symbolic tensor.
    known = type(operation).__name__ == "Softmax" and type(operation).__module__.startswith("keras.")
    if not known or not operation._inbound_nodes:
        return None
    num_axes = len(operation._inbound_nodes[0].outputs[0].shape)
    axis = operation.axis
    if not isinstance(axis, int) or axis % num_axes in (0, num_axes - 1):
        return None
    return axis % num_axes


def _function_name(function: Any) -> str | None:
    """Name of an activation function of Keras or a backend, None for any other."""
    if isinstance(function, keras.layers.Layer):
        return _layer_function(function)
    module = (getattr(function, "__module__", None) or "").split(".")[0]
    # TensorFlow's softmax calls itself softmax_v2.
    name = str(getattr(function, "__name__", "")).removesuffix("_v2")
    return name if module in _BACKENDS and hasattr(keras.activations, name) else None


def _names(model: Any, outputs: Any, count: int) -> list[tuple[str, ...]]:
    """For each output, what the user may call it."""
    names = list(getattr(model, "output_names", None) or [])
    if len(names) != count:
        names = ["output"] if count == 1 else [f"output_{place}" for place in range(count)]
    if isinstance(outputs, dict) and len(outputs) == count:
        # In the order in which Keras flattens it.
        keys = keras.tree.flatten({key: str(key) for key in outputs})
        return list(zip(keys, names, strict=True))
    return [(name,) for name in names]
