"""What goes on inside a model on a few samples: every layer's output, every weight's gradient, without a trace."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_clr._keras.answers import accuracy_of, clipped_samples, relative_difference, wrong_way_share
from keras_clr._keras.gradients import GradientProbe
from keras_clr._keras.layer_outputs import Run, activation_of, in_float32, leaves, run_layers
from keras_clr._keras.layers_reading import BadOutputs, LayerReading, LayersReading, VariableReading
from keras_clr._keras.optimizers import leaf_optimizers, momentum_of
from keras_clr._keras.random_state import capture_random_state
from keras_clr._keras.readings import penalty, probability_loss
from keras_clr._keras.rehearsal import loss_apart, mixing
from keras_clr._keras.slopes import LossSlopes, read_slopes
from keras_clr._keras.tensors import Batch, to_numpy

# Gradients of two units that differ by less, relative to the largest, differ by rounding.
_ROUNDING = 1e-5


def read_layers(model: Any, batches: Sequence[Batch]) -> LayersReading:
    """Looks at every layer and every trainable variable on a few samples; the model stays as it is, to the bit.

    Args:
        model: A built model. Loss and gradients are read if it is compiled.
        batches: Inputs, labels and sample weights, as `fit` would feed them; at most 32 samples in each is cheap.

    Raises:
        ValueError: If the model is not built, so that its weights do not exist yet.
    """
    if not getattr(model, "built", False):
        raise ValueError(
            f"Argument `model` must be built. Received: {type(model).__name__} without weights. Start it with "
            "`keras.Input(...)`, or call it on a batch."
        )
    give_back = capture_random_state()
    try:
        with loss_apart(model):
            return _read(model, batches)
    finally:
        give_back()


def read_bad_outputs(model: Any, batches: Sequence[Batch]) -> BadOutputs:
    """Runs the samples with small numbers in the place of whatever is not finite in the model; that stays as it is."""
    rng = np.random.default_rng(0)
    values = []
    for variable in model.variables:
        value = to_numpy(variable)
        if _is_bad(variable):
            # Above 0, as a variance must be.
            value = np.where(np.isfinite(value), value, rng.uniform(0.01, 0.1, value.shape)).astype(value.dtype)
        values.append(value)
    give_back = capture_random_state()
    try:
        layers = leaves(model)
        run = run_layers(model, layers, batches, False, values)
    finally:
        give_back()
    num_samples = sum(len(weight) for _, _, weight in batches)
    seen = ((layers[number].name, output.reading()) for (number, _), output in run.outputs.items())
    name, masked = next(((name, part.masked) for name, part in seen if not part.finite), (None, 0))
    return BadOutputs(name, masked, num_samples, _mask_value(layers))


def _mask_value(layers: Sequence[Any]) -> float:
    return next((float(part.mask_value) for part in layers if isinstance(part, keras.layers.Masking)), 0.0)


def _read(model: Any, batches: Sequence[Batch]) -> LayersReading:
    cannot_know: list[str] = []
    layers = leaves(model)
    training, inference = (run_layers(model, layers, batches, mode) for mode in (True, False))
    calls = [key for key in training.outputs if key in inference.outputs]
    positions: dict[int, int] = {}
    readings: list[LayerReading] = []
    for number, call in calls:
        layer = layers[number]
        positions.setdefault(number, len(readings))
        readings.append(
            LayerReading(
                name=layer.name,
                class_name=type(layer).__name__,
                activation=activation_of(layer),
                call=call,
                trainable=_is_trainable(layer),
                training=training.outputs[number, call].reading(),
                inference=inference.outputs[number, call].reading(),
                dropout=_dropout(layer),
            )
        )
    unseen = [layer.name for number, layer in enumerate(layers) if number not in positions]
    if unseen:
        cannot_know.append(
            f"The outputs of {_listed(unseen)}: not called, not one array of floats, or computed inside a compiled "
            "function."
        )
    loss = training.loss
    probe = _gradient_probe(model, loss, cannot_know)
    owners: dict[int, int | None] = {}
    for number, layer in enumerate(layers):
        for variable in getattr(layer, "trainable_variables", ()):
            owners.setdefault(id(variable), positions.get(number))
    looks = [_Gradients(v, owners.get(id(v))) for v in model.trainable_variables]
    if probe is not None:
        losses = []
        for batch in batches:
            measured = probe.measure(batch)
            losses.append(measured.loss)
            for look, gradient in zip(looks, measured.gradients, strict=True):
                look.add(gradient)
        loss = float(np.mean(losses))
    kind = probability_loss(model) if loss is not None else None
    wrong, right = clipped_samples(training.rows(), batches, kind)
    inputs = [a for x, _, _ in batches for a in map(to_numpy, keras.tree.flatten(x)) if a.dtype.kind in "biuf"]
    variables = [look.reading(probe is not None) for look in looks]
    last = len(readings)
    slopes = _slopes(model, training, batches, loss)
    return LayersReading(
        num_samples=sum(len(y) for y in (keras.tree.flatten(y)[0] for _, y, _ in batches)),
        layers=tuple(readings),
        variables=tuple(sorted(variables, key=lambda v: last if v.position is None else v.position)),
        bad_variables=tuple(v.path for v in model.variables if _is_bad(v)),
        finite_inputs=all(bool(np.isfinite(a).all()) for a in inputs),
        input_spread=max((float(np.ptp(a.astype(np.float64), axis=0).max(initial=0.0)) for a in inputs), default=0.0),
        loss_training=loss,
        loss_inference=inference.loss,
        accuracy_training=accuracy_of(training.rows(), batches, kind),
        accuracy_inference=accuracy_of(inference.rows(), batches, kind),
        output_difference=relative_difference(training.rows(), inference.rows()),
        clipped_wrong=None if wrong is None else int(wrong.sum()),
        clipped_right=None if right is None else int(right.sum()),
        clipped_gradient=_has_gradient(probe, batches, wrong),
        gradients=probe is not None,
        scaled_loss=hasattr(getattr(model, "optimizer", None), "inner_optimizer"),
        sgd_rate=_sgd_rate(model),
        epsilon=_epsilon(model),
        coasting=_is_coasting(model),
        updates=_updates(model),
        batchnorm_momentum=max(
            (float(p.momentum) for p in layers if isinstance(p, keras.layers.BatchNormalization) and p.trainable),
            default=None,
        ),
        cannot_know=tuple(cannot_know),
        penalty=penalty(model),
        flat_loss=all(part.flat for part in slopes) if slopes else None,
        wrong_way=wrong_way_share(training.rows(), batches, [part.at_outputs[0] for part in slopes]),
        mask_value=_mask_value(layers),
        mixing=mixing(model, batches[0]) if batches else None,
    )


def _slopes(model: Any, run: Run, batches: Sequence[Batch], loss: float | None) -> list[LossSlopes]:
    """Of the loss in the outputs; empty where there is no compiled loss, or it is not finite."""
    if loss is None or not math.isfinite(loss) or getattr(model, "loss", None) is None:
        return []
    return [read_slopes(model, batch, y_pred) for batch, y_pred in zip(batches, run.final, strict=True)]


def _dropout(layer: Any) -> float | None:
    dropping = (keras.layers.Dropout, keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D)
    return float(layer.rate) if isinstance(layer, (*dropping, keras.layers.SpatialDropout3D)) else None


class _Gradients:
    """Collects the gradients of one variable, batch by batch."""

    def __init__(self, variable: Any, position: int | None) -> None:
        self._variable, self._position = variable, position
        self._value = in_float32(to_numpy(variable))
        self._squares: list[float] = []
        self._zero = True
        self._same_units = self._value.ndim > 0 and self._value.shape[-1] > 1 and _all_same(self._value, 0.0)

    def add(self, gradient: np.ndarray | None) -> None:
        if gradient is None:
            return
        gradient = in_float32(gradient)
        self._squares.append(float(np.linalg.norm(gradient.astype(np.float64))) ** 2)
        self._zero = self._zero and not gradient.any()
        self._same_units = self._same_units and _all_same(gradient, _ROUNDING)

    def reading(self, taken: bool) -> VariableReading:
        connected = bool(self._squares) or not taken
        return VariableReading(
            name=self._variable.path,
            position=self._position,
            shape=tuple(self._value.shape),
            norm=float(np.linalg.norm(self._value.astype(np.float64))),
            gradient_norm=math.sqrt(float(np.mean(self._squares))) if self._squares else None,
            zero_gradient=taken and self._zero,
            connected=connected,
            same_units=taken and connected and self._same_units,
            penalised=getattr(self._variable, "regularizer", None) is not None,
        )


def _all_same(array: np.ndarray, tolerance: float) -> bool:
    return bool(np.ptp(array, axis=-1).max(initial=0.0) <= tolerance * np.abs(array).max(initial=0.0))


def _gradient_probe(model: Any, loss: float | None, cannot_know: list[str]) -> GradientProbe | None:
    if not getattr(model, "compiled", False):
        cannot_know.append("Loss and gradients: the model is not compiled.")
        return None
    if loss is None or not math.isfinite(loss):
        cannot_know.append("The gradients: the loss is not finite.")
        return None
    if not model.trainable_variables:
        return None
    try:
        return GradientProbe.of(model)
    except NotImplementedError as error:
        cannot_know.append(f"The gradients. {error}")
        return None


def _has_gradient(probe: GradientProbe | None, batches: Sequence[Batch], samples: np.ndarray | None) -> bool | None:
    """Whether these samples alone have a gradient, all others having weight 0."""
    if probe is None or samples is None or not samples.any():
        return None
    ends = np.cumsum([len(weight) for _, _, weight in batches])[:-1]
    return any(
        bool(gradient.any())
        for (x, y, weight), part in zip(batches, np.split(samples, ends), strict=True)
        for gradient in probe.measure((x, y, weight * part.astype(weight.dtype))).gradients
        if gradient is not None
    )


def _updates(model: Any) -> int:
    return int(to_numpy(model.optimizer.iterations)) if getattr(model, "optimizer", None) else 0


def _is_coasting(model: Any) -> bool:
    if not getattr(model, "optimizer", None):
        return False
    moving = any(
        leaf.weight_decay or (leaf.use_ema and leaf.ema_overwrite_frequency)
        for leaf in leaf_optimizers(model.optimizer)
    )
    return moving or (_updates(model) > 0 and momentum_of(model.optimizer) > 0.0)


def _only_optimizer(model: Any) -> Any:
    leaves = leaf_optimizers(model.optimizer) if getattr(model, "optimizer", None) else []
    return leaves[0] if len(leaves) == 1 else None


def _sgd_rate(model: Any) -> float | None:
    sgd = _only_optimizer(model)
    if not isinstance(sgd, keras.optimizers.SGD) or any((sgd.clipnorm, sgd.clipvalue, sgd.global_clipnorm)):
        return None
    return float(to_numpy(sgd.learning_rate))


def _epsilon(model: Any) -> float | None:
    adaptive = (keras.optimizers.Adam, keras.optimizers.RMSprop)
    optimizer = _only_optimizer(model)
    return float(optimizer.epsilon) if isinstance(optimizer, adaptive) else None


def _is_bad(variable: Any) -> bool:
    value = to_numpy(variable)
    return "float" in str(value.dtype) and not bool(np.isfinite(in_float32(value)).all())


def _is_trainable(layer: Any) -> bool:
    return bool(getattr(layer, "trainable", True))


def _listed(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(f"`{name}`" for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
