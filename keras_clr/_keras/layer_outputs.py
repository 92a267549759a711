"""The output of every layer of a model, caught on its way: eagerly, and without a trace.

Each layer's `call` is stood in for while the model runs inside a `StatelessScope`. That serves Sequential, Functional,
nested and subclassed models alike, in training mode too, gives the order of execution, and builds no second model.
What a layer does inside a compiled function of its own cannot be caught.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_clr._keras.tensors import Batch, apart, tensors, to_numpy, weights_for

# A sigmoid or tanh with less slope than this passes on less than a thousandth of the gradient (a sigmoid has at most
# 1/4): |pre-activation| > 6.9 and > 4.1.
_NO_SLOPE = 1e-3
# Names of activations that are 0, with slope 0, on half of the line.
RELU_LIKE = ("relu", "relu6")
_SLOPES = {
    "sigmoid": lambda output: output * (1.0 - output),
    "hard_sigmoid": lambda output: output * (1.0 - output),
    "tanh": lambda output: 1.0 - np.square(output),
}
# Of these the last operation is not the activation.
_NOT_LAST = (keras.layers.RNN, keras.layers.Bidirectional)


@dataclass(frozen=True)
class OutputReading:
    """Output of one layer on all samples. A unit is an entry of the last axis, a channel of a convolution.

    Attributes:
        finite: False if there is a NaN or an infinity in it.
        mean: Mean of all entries.
        std: Standard deviation of all entries.
        spread: How far the output depends on the input: largest minus smallest value over the samples of one
            batch, of the entry and batch for which that is most. Exactly 0 if it does not depend on it.
        units: Units.
        zero_units: Units that are exactly 0 everywhere, on every sample.
        saturated_units: Units of a sigmoid or tanh with a slope below 1e-3 everywhere, on every sample.
        entries: Entries in the output of one sample.
        masked: Samples all of whose steps are masked.
    """

    finite: bool
    mean: float
    std: float
    spread: float
    units: int
    zero_units: int
    saturated_units: int
    entries: int = 0
    masked: int = 0


class _Output:
    """Collects what one layer gives, batch by batch, and keeps numbers only."""

    def __init__(self, layer: Any) -> None:
        self._channels_first = getattr(layer, "data_format", None) or keras.config.image_data_format()
        self._slope = _SLOPES.get(activation_of(layer) or "")
        self._finite = True
        self._count, self._sum, self._squares, self._spread = 0, 0.0, 0.0, 0.0
        self._alive: Any = False
        self._steep: Any = False
        self._entries, self._masked = 0, 0

    def add(self, output: np.ndarray, mask: np.ndarray | None) -> None:
        axis = 1 if output.ndim > 3 and self._channels_first == "channels_first" else -1
        units = np.moveaxis(output, axis, -1).reshape(-1, output.shape[axis] if output.ndim > 1 else 1)
        self._finite = self._finite and bool(np.isfinite(units).all())
        self._entries = output[:1].size
        self._masked += 0 if mask is None else int((~mask.reshape(len(mask), -1).any(axis=1)).sum())
        self._alive = self._alive | (units != 0.0).any(axis=0)
        if self._slope is not None:
            # What is not a number is not called saturated.
            self._steep = self._steep | ~(self._slope(units) < _NO_SLOPE).all(axis=0)
        self._count += units.size
        self._sum += float(units.sum(dtype=np.float64))
        self._squares += float(np.square(units, dtype=np.float64).sum())
        self._spread = float(np.maximum(self._spread, np.ptp(output, axis=0).max(initial=0.0)))

    def reading(self) -> OutputReading:
        mean = self._sum / max(self._count, 1)
        alive = np.atleast_1d(self._alive)
        return OutputReading(
            finite=self._finite,
            mean=mean,
            std=math.sqrt(max(self._squares / max(self._count, 1) - mean**2, 0.0)) if self._finite else math.nan,
            spread=self._spread,
            units=len(alive),
            zero_units=int((~alive).sum()),
            saturated_units=0 if self._slope is None else int((~np.atleast_1d(self._steep)).sum()),
            entries=self._entries,
            masked=self._masked,
        )


@dataclass(frozen=True)
class Run:
    """All batches in one mode: outputs by (number of the layer, call), model outputs, mean loss."""

    outputs: dict[tuple[int, int], _Output]
    final: list[Any]
    loss: float | None

    def rows(self) -> np.ndarray | None:
        """The model's output as one row per sample; None if it has another form."""
        if any(keras.tree.is_nested(part) for part in self.final):
            return None
        rows = np.concatenate([in_float32(to_numpy(part)) for part in self.final])
        rows = rows.reshape(-1, 1) if rows.ndim == 1 else rows
        return rows if rows.ndim == 2 else None


def run_layers(
    model: Any, layers: Sequence[Any], batches: Sequence[Batch], training: bool, values: Sequence[Any] | None = None
) -> Run:
    """Runs the batches through the model.

    Args:
        model: A built model.
        layers: Its layers, from `leaves`.
        batches: What to run.
        training: In which mode.
        values: What all variables of the model hold meanwhile, instead of their own; then no loss is taken.
    """
    outputs: dict[tuple[int, int], _Output] = {}
    final, losses = [], []
    for batch in batches:
        calls: dict[int, int] = {}

        def see(number: int, output: Any, mask: Any, calls: dict[int, int] = calls) -> None:
            array = _concrete(output)
            if array is None:
                return
            call = calls[number] = calls.get(number, -1) + 1
            with np.errstate(all="ignore"):
                outputs.setdefault((number, call), _Output(layers[number])).add(array, _boolean(mask))

        # With their values: Keras asks the scope for what its regularizers are to be applied to.
        held = [v.value for v in model.variables] if values is None else tensors(list(values))
        with keras.StatelessScope(list(zip(model.variables, held, strict=True))), apart(gradient=False):
            x, y, sample_weight = tensors(batch)
            with _tapped(layers, see):
                y_pred = model(x, training=training) if model._call_has_training_arg else model(x)
            final.append(y_pred)
            if not _is_finite(y_pred):
                # torch refuses to compute some losses of a NaN.
                losses.append(math.nan)
            elif values is None and getattr(model, "compiled", False):
                weights = weights_for(y_pred, sample_weight)
                loss = model._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weights, training=training)
                losses.append(float(to_numpy(loss)))
    return Run(outputs, final, float(np.mean(losses)) if losses else None)


@contextlib.contextmanager
def _tapped(layers: Sequence[Any], see: Any) -> Iterator[None]:
    """Shows each layer's number, output and mask to `see`, as long as the context lasts."""

    def tap(number: int, call: Any) -> Any:
        @functools.wraps(call)
        def tapped(*args: Any, **kwargs: Any) -> Any:
            output = call(*args, **kwargs)
            see(number, output, kwargs.get("mask"))
            return output

        return tapped

    own = [vars(layer).get("call") for layer in layers]
    try:
        for number, layer in enumerate(layers):
            # Past Keras' bookkeeping of attributes.
            object.__setattr__(layer, "call", tap(number, layer.call))
        yield
    finally:
        for layer, call in zip(layers, own, strict=True):
            if call is None:
                vars(layer).pop("call", None)
            else:
                object.__setattr__(layer, "call", call)


def leaves(model: Any) -> list[Any]:
    """Layers and operations that are looked at, each once: through nested models and layers of the user's own."""
    found: dict[int, Any] = {}

    def walk(parts: Sequence[Any]) -> None:
        for part in parts:
            if isinstance(part, keras.Model):
                walk(getattr(part, "operations", None) or part.layers)
            elif not isinstance(part, keras.layers.InputLayer):
                # Keras' own layers run their parts in loops, where outputs are no arrays.
                if isinstance(part, keras.Layer) and not _is_of_keras(part):
                    walk(part._flatten_layers(include_self=False, recursive=False))
                found.setdefault(id(part), part)

    walk([model])
    return list(found.values())


def _is_of_keras(layer: Any) -> bool:
    return isinstance(layer, (*_NOT_LAST, keras.layers.Wrapper)) or type(layer).__module__.startswith("keras.")


def activation_of(layer: Any) -> str | None:
    """Name of the activation that made the output of a layer or operation of Keras' own."""
    if isinstance(layer, keras.layers.Wrapper) and not isinstance(layer, _NOT_LAST):
        layer = layer.layer
    if isinstance(layer, _NOT_LAST) or not _is_of_keras(layer):
        return None
    if isinstance(layer, keras.layers.ReLU):
        return "relu" if not layer.negative_slope and not layer.threshold else None
    if hasattr(layer, "activation"):
        return getattr(layer.activation, "__name__", None)
    return None if isinstance(layer, keras.Layer) else type(layer).__name__.lower()


def _is_finite(outputs: Any) -> bool:
    return all(bool(np.isfinite(in_float32(to_numpy(part))).all()) for part in keras.tree.flatten(outputs))


def _concrete(output: Any) -> np.ndarray | None:
    """One array of floats with a sample axis, or None."""
    if keras.tree.is_nested(output) or not getattr(output, "shape", ()):
        return None
    try:
        array = to_numpy(output)
    except (TypeError, NotImplementedError):
        # Inside a compiled function.
        return None
    return in_float32(array) if "float" in str(array.dtype) and array.size else None


def _boolean(mask: Any) -> np.ndarray | None:
    return None if mask is None or keras.tree.is_nested(mask) else to_numpy(mask).astype(bool)


def in_float32(array: np.ndarray) -> np.ndarray:
    # numpy computes float16 in itself, and knows bfloat16 by a foreign type only.
    return array if array.dtype.itemsize > 2 else array.astype(np.float32)
