"""Evidence from inside a model: what one pass on a few samples shows in its layers and gradients. Pure.

The limits come from 38 healthy networks (dense, convolutional, recurrent, residual and attention networks of 1 to 34
layers, before training and after three epochs), and from sigmoid and relu networks so deep that they do not train.
Each is named with what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras

from keras_clr._keras.layer_outputs import RELU_LIKE
from keras_clr._keras.layers_reading import LayerReading, LayersReading
from keras_clr.stuck.causes import layers as causes
from keras_clr.stuck.checks.finite import masked, non_finite
from keras_clr.stuck.checks.gradients import check_exploding, check_vanishing, kernels_of
from keras_clr.stuck.checks.teaching import check_dropout, check_loss_slope, check_mixing, check_penalty
from keras_clr.stuck.finding import Confidence, Finding

# Share of dead units in a relu layer. Healthy: none in most, 0.30 in a CNN after training, 0.52 in a 34-layer network
# with He weights, whose samples all look alike to its last layers.
_MANY_DEAD = 0.75
# Share of saturated units in a sigmoid or tanh layer. Healthy: 0 in all.
_MANY_SATURATED = 0.5
# Share of samples with a wrong, clipped answer. Healthy: 0 in most; more than 0.5 before training on pixels of 0 to
# 255, and five of six such networks learned all the same: no forecast.
_SOME_CLIPPED = 0.1
# Nats above guessing. Healthy: at most 0.9 before training.
_FAR_ABOVE = 3.0
# Below this share of its size, an output depends on the input by rounding (float32: 1.2e-7).
_ROUNDING = 1e-6
# Below this share of the largest gradient, one is what rounding left of a sum that is 0.
_NO_GRADIENT = 1e-5
# Share of the way from guessing to a loss of 0 that counts as learned, for the comparison of the two modes.
_LEARNED = 0.25


def check_layers(reading: LayersReading, *, before_training: bool, chance_loss: float | None) -> list[Finding]:
    """What the inside of a model says about why it may not learn.

    Args:
        reading: From `read_layers`.
        before_training: True if the model has not been trained; some signs mean another thing later.
        chance_loss: Loss of answering the class shares whatever the input, for a plain cross-entropy; None for
            any other loss.

    Returns:
        Findings, in the order of the causes. What another finding explains is left out.
    """
    bad = non_finite(reading)
    if bad is not None:
        # NaN compares with nothing: all that follows would be about it.
        return [*masked(reading), bad, *_unconnected(reading)]
    if not reading.variables:
        return [causes.NO_TRAINABLE_WEIGHTS.finding(Confidence.CERTIFICATE, {})]
    first = check_loss_slope(reading) + check_mixing(reading.mixing) + check_dropout(reading)
    findings = _symmetric(reading)
    findings += [] if findings else _dead_layer(reading)
    blocked = bool(findings)
    findings = first + findings
    findings += _saturated_output(reading)
    saturated = _saturated_layer(reading)
    disagree = [] if before_training or chance_loss is None else _modes_disagree(reading, chance_loss)
    findings += saturated
    if not blocked and not saturated:
        vanishing = check_vanishing(reading)
        if not disagree and not any(f.confidence == Confidence.FORECAST for f in vanishing):
            findings += _constant_output(reading, before_training)
        findings += vanishing
    findings += [*check_exploding(reading), *disagree]
    if chance_loss is not None and before_training:
        findings += check_penalty(reading, chance_loss) + _initial_loss(reading, chance_loss, findings)
    return [*findings, *_dead_units(reading), *_unconnected(reading)]


def _symmetric(reading: LayersReading) -> list[Finding]:
    kernels = kernels_of(reading)
    # Without a gradient its units are alike for now: others that have one may tell them apart, as a last layer does
    # that starts from 0.
    moving = any(not kernel.zero_gradient for kernel in kernels)
    # The units of the last layer are told apart by the labels.
    alike = [
        kernel
        for kernel in kernels[:-1]
        if kernel.same_units
        and not (kernel.zero_gradient and moving)
        and all(v.same_units for v in reading.variables if v.position == kernel.position)
    ]
    if not alike or alike[0].position is None:
        return []
    numbers = {"num_units": alike[0].shape[-1], "num_layers": len(alike)}
    words = {"layer": reading.layers[alike[0].position].name}
    return [causes.SYMMETRIC_WEIGHTS.finding(Confidence.CERTIFICATE, numbers, words)]


def _dead_layer(reading: LayersReading) -> list[Finding]:
    for position, layer in enumerate(reading.layers):
        # Behind a constant, it is the constant that has a cause.
        constant = position > 0 and reading.layers[position - 1].training.spread == 0.0
        if layer.activation in RELU_LIKE and layer.training.zero_units == layer.training.units and not constant:
            confidence, consequence = _standstill(reading, position)
            numbers = {"num_units": layer.training.units, "num_samples": reading.num_samples}
            words = {"layer": layer.name, "activation": layer.activation, "consequence": consequence}
            return [causes.DEAD_LAYER.finding(confidence, numbers, words)]
    return []


def _standstill(reading: LayersReading, position: int) -> tuple[Confidence, str]:
    """What a layer that passes no gradient means for what lies before it."""
    before = [v for v in reading.variables if v.position is not None and v.position <= position]
    if reading.gradients and before and all(v.zero_gradient for v in before):
        zero = f"The gradient of all {len(before)} trainable variables up to it is exactly 0: "
        if reading.coasting:
            return Confidence.FORECAST, zero + "only momentum or weight decay still moves them."
        return Confidence.CERTIFICATE, zero + "they cannot move."
    if reading.layers[-1].training.spread == 0.0:
        return Confidence.FORECAST, "The model's output is the same for all of them."
    return Confidence.HINT, "There is a way around it: the output still depends on the input."


def _saturated_output(reading: LayersReading) -> list[Finding]:
    wrong, right = reading.clipped_wrong, reading.clipped_right
    if wrong is None or right is None or wrong < _SOME_CLIPPED * reading.num_samples:
        return []
    confidence, consequence = Confidence.HINT, ""
    if reading.clipped_gradient is False:
        consequence = "Those have a gradient of exactly 0. "
        if wrong + right == reading.num_samples and all(v.zero_gradient for v in reading.variables):
            confidence = Confidence.FORECAST if reading.coasting else Confidence.CERTIFICATE
            consequence = "The gradient of every trainable variable is exactly 0, on all of them. "
    elif reading.clipped_gradient:
        consequence = "They have a gradient all the same: this loss sees the values before the activation. "
    numbers = {
        "num_wrong": wrong,
        "num_right": right,
        "num_samples": reading.num_samples,
        "epsilon": keras.config.epsilon(),
    }
    return [causes.SATURATED_OUTPUT.finding(confidence, numbers, {"consequence": consequence})]


def _saturated_layer(reading: LayersReading) -> list[Finding]:
    for position, layer in enumerate(reading.layers[:-1]):
        seen = layer.training
        if seen.saturated_units < _MANY_SATURATED * seen.units or not seen.saturated_units:
            continue
        confidence, consequence = Confidence.HINT, ""
        if seen.saturated_units == seen.units:
            confidence, consequence = _standstill(reading, position)
            if confidence is Confidence.HINT:
                consequence = "The layers after it can still learn."
        numbers = {
            "num_saturated": seen.saturated_units,
            "num_units": seen.units,
            "num_samples": reading.num_samples,
        }
        words = {"layer": layer.name, "activation": layer.activation, "consequence": consequence}
        return [causes.SATURATED_LAYER.finding(confidence, numbers, words)]
    return []


def _constant_output(reading: LayersReading, before_training: bool) -> list[Finding]:
    layers = reading.layers
    if not layers or reading.input_spread == 0.0 or reading.num_samples < 2 or not _is_constant(layers[-1]):
        return []
    if layers[-1].activation == "softmax" and layers[-1].inference.units == 1:
        # Constant by definition; what to do is said where the head is looked at.
        return []
    position = len(layers) - 1
    while position and _is_constant(layers[position - 1]):
        position -= 1
    before = [v for v in reading.variables if v.position is not None and v.position <= position]
    # What is only added there cannot make a difference between samples.
    before = [v for v in before if v.position != position or v.name.split("/")[-1] not in ("bias", "beta")]
    largest = max((v.gradient_norm or 0.0 for v in reading.variables), default=0.0)
    if not before and layers[-1].training.spread == 0.0 and all(v.position is not None for v in reading.variables):
        confidence = Confidence.CERTIFICATE
        consequence = "No trainable variable lies before that, so training cannot change it."
    elif reading.gradients and all((v.gradient_norm or 0.0) <= _NO_GRADIENT * largest for v in before):
        confidence = Confidence.FORECAST
        consequence = f"All {len(before)} variables that could end it have no gradient."
    elif before_training:
        # As with a last layer that starts from 0: it has a gradient, and the next step ends this.
        return []
    else:
        confidence, consequence = Confidence.HINT, "The weights before that still have a gradient."
    numbers = {"num_samples": reading.num_samples, "num_after": len(layers) - position}
    layer = layers[position]
    own = [v for v in reading.variables if v.position == position and v.name.split("/")[-1] not in ("beta", "gamma")]
    if not own:
        change = causes.TAKE_OUT
    else:
        bounded = layer.activation in ("softmax", "sigmoid", "tanh", "hard_sigmoid")
        change = causes.SMALLER_SUMS if bounded else causes.OTHER_WEIGHTS
    words = {
        "layer": layer.name,
        "class_name": layer.class_name,
        "consequence": consequence,
        "change": change.format(layer=layer.name),
    }
    return [causes.CONSTANT_OUTPUT.finding(confidence, numbers, words)]


def _is_constant(layer: LayerReading) -> bool:
    return layer.inference.spread <= _ROUNDING * max(abs(layer.inference.mean), layer.inference.std)


def _initial_loss(reading: LayersReading, chance_loss: float, findings: Sequence[Finding]) -> list[Finding]:
    loss = reading.loss_training
    explained = any(f.code == causes.SATURATED_OUTPUT.code for f in findings)
    if loss is None or explained or loss - reading.penalty < chance_loss + _FAR_ABOVE:
        return []
    numbers = {"loss_training": loss - reading.penalty, "chance_loss": chance_loss}
    return [causes.INITIAL_LOSS.finding(Confidence.HINT, numbers)]


def _modes_disagree(reading: LayersReading, chance_loss: float) -> list[Finding]:
    if reading.loss_training is None or reading.loss_inference is None:
        return []
    training, inference = reading.loss_training - reading.penalty, reading.loss_inference - reading.penalty
    if training > (1.0 - _LEARNED) * chance_loss or inference < chance_loss:
        return []
    numbers: dict[str, Any] = {
        "loss_training": training,
        "loss_inference": inference,
        "chance_loss": chance_loss,
        "num_samples": reading.num_samples,
        "updates": reading.updates,
    }
    accuracies = ""
    if reading.accuracy_training is not None and reading.accuracy_inference is not None:
        numbers |= {"accuracy_training": reading.accuracy_training, "accuracy_inference": reading.accuracy_inference}
        accuracies = f" (accuracy {reading.accuracy_training:.3f} and {reading.accuracy_inference:.3f})"
    momentum = reading.batchnorm_momentum
    confidence, consequence = Confidence.FORECAST, "No BatchNormalization is in it: look at what depends on `training`."
    if momentum is not None:
        old = momentum**reading.updates
        numbers |= {"batchnorm_momentum": momentum, "initial_share": old}
        consequence = (
            f"BatchNormalization with a momentum of {momentum:g} keeps {old:.1%} of its initial averages after "
            f"{reading.updates} updates"
        )
        if old > 0.1:
            confidence = Confidence.HINT
            consequence += f"; {math.log(0.1) / math.log(momentum):.0f} updates are needed to bring it to 10%."
        else:
            consequence += ": its averages are old enough, and still not those of the batches."
    words = {"accuracies": accuracies, "consequence": consequence}
    return [causes.TRAIN_AND_INFERENCE_DISAGREE.finding(confidence, numbers, words)]


def _dead_units(reading: LayersReading) -> list[Finding]:
    partly = [
        layer
        for layer in reading.layers
        if layer.activation in RELU_LIKE and _MANY_DEAD * layer.training.units <= layer.training.zero_units
    ]
    partly = [layer for layer in partly if layer.training.zero_units < layer.training.units]
    if not partly:
        return []
    worst = max(partly, key=lambda layer: layer.training.zero_units / layer.training.units)
    seen = worst.training
    numbers = {"num_dead": seen.zero_units, "num_units": seen.units, "num_samples": reading.num_samples}
    words = {"layer": worst.name, "activation": worst.activation}
    # No more than a hint: a network was seen to learn with one unit in twenty.
    return [causes.DEAD_UNITS.finding(Confidence.HINT, numbers, words)]


def _unconnected(reading: LayersReading) -> list[Finding]:
    names = [v.name for v in reading.variables if not v.connected]
    if not names:
        return []
    listed = ", ".join(f"`{name}`" for name in names[:6]) + (" ..." if len(names) > 6 else "")
    numbers = {"num_unconnected": len(names), "num_variables": len(reading.variables)}
    # Some may be meant so, all of them cannot.
    confidence = Confidence.CERTIFICATE if len(names) == len(reading.variables) else Confidence.HINT
    return [causes.UNCONNECTED_WEIGHTS.finding(confidence, numbers, {"names": listed})]
