"""Where NaN or infinity begins. Pure."""

from __future__ import annotations

import math

from keras_clr._keras.layers_reading import BadOutputs, LayersReading
from keras_clr.stuck.causes.data import ALL_STEPS_MASKED
from keras_clr.stuck.causes.layers import NON_FINITE
from keras_clr.stuck.finding import Confidence, Finding


def non_finite(reading: LayersReading) -> Finding | None:
    """Where NaN or infinity begins, if it reaches the loss or a gradient."""
    gradients = [v for v in reading.variables if v.gradient_norm is not None and not math.isfinite(v.gradient_norm)]
    if reading.scaled_loss:
        # Overflow with loss scaling: the optimizer leaves out the step and lowers the scale.
        gradients = []
    loss = reading.loss_training
    if loss is None:
        wrong = any(not layer.training.finite for layer in reading.layers[-1:])
    else:
        # What is infinite inside and harmless outside, as a mask is, is no fault.
        wrong = not math.isfinite(loss) or bool(gradients)
    if not wrong:
        return None
    layer = next((layer for layer in reading.layers if not layer.training.finite), None)
    if not reading.finite_inputs:
        place = "the inputs"
    elif layer is not None:
        own = [path for path in reading.bad_variables if layer.name in path.split("/")]
        place = f"the weights of layer `{layer.name}` (`{own[0]}`)" if own else f"the output of layer `{layer.name}`"
    elif loss is not None and not math.isfinite(loss):
        place = "the loss: all outputs of the layers that were seen are finite"
    else:
        # A gradient comes from behind.
        place = f"the gradient, on its way back at `{gradients[-1].name}`: the loss is finite"
    numbers = {"loss": loss, "num_samples": reading.num_samples}
    return NON_FINITE.finding(Confidence.CERTIFICATE, numbers, {"place": place})


def masked(reading: LayersReading) -> list[Finding]:
    """That NaN begins where all steps of a sample are masked."""
    layer = next((layer for layer in reading.layers if not layer.training.finite), None)
    if layer is None or not reading.finite_inputs:
        return []
    return check_bad_outputs(
        BadOutputs(layer.name, layer.training.masked, reading.num_samples, reading.mask_value), masked_only=True
    )


def check_bad_outputs(seen: BadOutputs, *, masked_only: bool = False) -> list[Finding]:
    """What is wrong with samples whose answer is not a number though all weights are.

    Args:
        seen: From `read_bad_outputs`.
        masked_only: True if any other reason is looked for elsewhere.
    """
    if seen.layer is None:
        return []
    if seen.masked:
        numbers = {"num_masked": seen.masked, "num_samples": seen.num_samples}
        words = {"layer": seen.layer, "mask_value": f"{seen.mask_value:g}"}
        return [ALL_STEPS_MASKED.finding(Confidence.CERTIFICATE, numbers, words)]
    if masked_only:
        return []
    place = f"the output of layer `{seen.layer}`, with whatever weights"
    numbers = {"num_samples": seen.num_samples}
    return [NON_FINITE.finding(Confidence.FORECAST, numbers, {"place": place})]
