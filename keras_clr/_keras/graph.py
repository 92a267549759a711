"""A model's graph, read only: the operations behind an output, and the layers that an input reaches."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import keras

# Layers that hand values on as they are, in another shape or place, or average them: limits stay limits.
_PASSING = (
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Permute,
    keras.layers.RepeatVector,
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
    keras.layers.Identity,
    keras.layers.ActivityRegularization,
    keras.layers.Masking,
    keras.layers.GlobalAveragePooling1D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.GlobalAveragePooling3D,
    keras.layers.GlobalMaxPooling1D,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.GlobalMaxPooling3D,
    keras.layers.AveragePooling1D,
    keras.layers.AveragePooling2D,
    keras.layers.AveragePooling3D,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
    keras.layers.Cropping1D,
    keras.layers.Cropping2D,
    keras.layers.UpSampling1D,
    keras.layers.UpSampling2D,
    keras.layers.UpSampling3D,
)
# Of these, those that give back the very tensor they were given.
SAME_TENSOR = (keras.layers.Identity, keras.layers.ActivityRegularization)
# On the way from an input to the first weights: these change no scale either.
_PASSING_INPUT = (
    *_PASSING,
    keras.layers.ZeroPadding1D,
    keras.layers.ZeroPadding2D,
    keras.layers.ZeroPadding3D,
    keras.layers.Concatenate,
    keras.layers.Resizing,
    keras.layers.CenterCrop,
    keras.layers.RandomCrop,
    keras.layers.RandomFlip,
    keras.layers.RandomRotation,
    keras.layers.RandomTranslation,
    keras.layers.RandomZoom,
    keras.layers.GaussianNoise,
)
# Layers whose first sums grow with the scale of what comes in.
_SCALE_SENSITIVE = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.SeparableConv1D,
    keras.layers.SeparableConv2D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.RNN,
    keras.layers.Bidirectional,
)


def is_passing(operation: Any) -> bool:
    """True for a layer that keeps the range of the values it is given."""
    return isinstance(operation, _PASSING)


def operations_behind(tensor: Any) -> Iterator[Any]:
    """The operations that made a symbolic tensor, the last one first, through nested models.

    Ends at the first that has more than one input, or none.
    """
    outside: list[tuple[Any, Any]] = []
    while hasattr(tensor, "_keras_history"):
        operation, node_index, tensor_index = tensor._keras_history
        node = operation._inbound_nodes[node_index]
        if node.is_input:
            if not outside:
                return
            node, nested = outside.pop()
            place = next(i for i, entry in enumerate(nested.inputs) if entry is tensor)
            tensor = node.input_tensors[place]
        elif getattr(operation, "outputs", None) and isinstance(operation, keras.Model):
            outside.append((node, operation))
            tensor = operation.outputs[tensor_index]
        else:
            yield operation
            if len(node.input_tensors) != 1:
                return
            tensor = node.input_tensors[0]


@contextlib.contextmanager
def symbolic_outputs(model: Any, x: Any) -> Iterator[Any]:
    """The model's outputs as symbolic tensors, in the structure `call` returns; None if there are none.

    A subclassed model has none of its own: its `call` is followed on symbolic inputs like `x`, and
    the layers' notes of it are struck out afterwards.
    """
    if getattr(model, "outputs", None):
        structure = getattr(model, "_outputs_struct", None)
        yield model.outputs if structure is None else structure
        return
    if x is None or not model.built:
        yield None
        return
    layers = model._flatten_layers()
    notes = [(notes, len(notes)) for layer in layers for notes in (layer._inbound_nodes, layer._outbound_nodes)]
    try:
        outputs = None
        # Whatever the model's own code raises, or says, when it meets a symbolic tensor.
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            outputs = model.call(keras.tree.map_structure(_symbolic, x))
        yield outputs
    finally:
        for entries, length in notes:
            del entries[length:]


def raw_inputs(model: Any) -> frozenset[str] | None:
    """Names of the inputs that reach a kernel as they are; None if that cannot be known.

    Not those that are rescaled, normalised or looked up in an embedding first. Each has two names: its number ("input
    0") and its own.
    """
    inputs = getattr(model, "inputs", None)
    if not inputs:
        return None
    raw = [(place, tensor) for place, tensor in enumerate(inputs) if _reaches_kernel(tensor)]
    return frozenset(name for place, tensor in raw for name in (f"input {place}", tensor.name))


def _reaches_kernel(tensor: Any) -> bool:
    for node in tensor._keras_history.operation._outbound_nodes:
        places = [i for i, entry in enumerate(node.input_tensors) if entry is tensor]
        layer = node.operation
        if not places:
            continue
        if isinstance(layer, _SCALE_SENSITIVE):
            return True
        if isinstance(layer, keras.Model) and getattr(layer, "inputs", None):
            if any(_reaches_kernel(layer.inputs[place]) for place in places):
                return True
        elif isinstance(layer, _PASSING_INPUT) and any(_reaches_kernel(output) for output in node.output_tensors):
            return True
    return False


def _symbolic(array: Any) -> Any:
    dtype = keras.backend.standardize_dtype(array.dtype)
    return keras.KerasTensor((None, *array.shape[1:]), keras.config.floatx() if "float" in dtype else dtype)
