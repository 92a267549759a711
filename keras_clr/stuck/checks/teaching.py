"""Can the loss teach anything: its slope, what reaches it of a sample, and what weighs more than the data. Pure."""

from __future__ import annotations

import math

from keras_clr._keras.layers_reading import LayersReading
from keras_clr.stuck.causes import layers as causes
from keras_clr.stuck.causes.head import SAMPLES_MIXED
from keras_clr.stuck.causes.training import PENALTY_DOMINATES
from keras_clr.stuck.finding import Confidence, Finding

# Share of samples for which the loss falls with the answer for their class. Cross-entropies: 0, whatever the weights.
_NEARLY_ALL = 0.95
# Change of an answer, by the largest answer, when other samples of its batch are replaced. Rounding: 1e-6.
_MIXED = 1e-3
# Dropped shares up to this are common.
_MUCH_DROPPED = 0.9
# Penalty on the first weights, by what there is to gain. Usual ones (L2 of 0.01 on layers of 512 units): up to 5.
_LARGE_PENALTY = 10.0


def check_loss_slope(reading: LayersReading) -> list[Finding]:
    """A loss that no output changes, or that falls when the answers get worse."""
    held = all(v.zero_gradient or not v.connected or v.penalised for v in reading.variables)
    if reading.flat_loss and reading.gradients and held:
        return [causes.LOSS_WITHOUT_SLOPE.finding(Confidence.CERTIFICATE, {"num_samples": reading.num_samples})]
    if reading.wrong_way is None or reading.wrong_way < _NEARLY_ALL:
        return []
    numbers = {"share": reading.wrong_way, "num_samples": reading.num_samples}
    return [causes.LOSS_REWARDS_WRONG_ANSWERS.finding(Confidence.FORECAST, numbers)]


def check_mixing(mixing: float | None) -> list[Finding]:
    """Answers that depend on the other samples in the batch, by more than rounding does."""
    if mixing is None or mixing <= _MIXED:
        return []
    what = (
        f"In inference mode, the answers to some samples change by up to {mixing:.1%} of the largest answer if others "
        "in their batch are replaced: something sums up or normalises over axis 0, as a softmax with axis=0."
    )
    return [SAMPLES_MIXED.finding(Confidence.FORECAST, {"mixing": mixing}, {"what": what})]


def check_dropout(reading: LayersReading) -> list[Finding]:
    """A dropout that leaves next to nothing of a sample."""
    for layer in reading.layers:
        if layer.dropout is None or layer.dropout <= _MUCH_DROPPED:
            continue
        # A spatial dropout drops whole channels.
        entries = layer.training.units if layer.class_name.startswith("Spatial") else layer.training.entries
        kept = (1.0 - layer.dropout) * entries
        few = kept < 1.0
        consequence = (
            f"Of {layer.dropout**entries:.0%} of the samples nothing gets through: neither a signal nor a gradient."
            if few
            else f"What gets through is multiplied by {1.0 / (1.0 - layer.dropout):.3g}, and drowns in that noise."
            if layer.dropout < 1.0
            else ""
        )
        numbers = {"rate": layer.dropout, "num_entries": entries, "kept": kept}
        words = {"layer": layer.name, "consequence": consequence}
        sure = Confidence.FORECAST if few else Confidence.HINT
        return [causes.DROPOUT_LEAVES_NOTHING.finding(sure, numbers, words)]
    return []


def check_penalty(reading: LayersReading, chance_loss: float) -> list[Finding]:
    """First weights that cost many times what can be learned."""
    if not reading.penalty >= _LARGE_PENALTY * chance_loss > 0.0:
        return []
    numbers = {"penalty": reading.penalty, "constant_loss": chance_loss}
    share = math.sqrt(chance_loss / reading.penalty)
    consequence = (
        f"With an L2 penalty, only weights of less than a share of {share:.2g} of their present size can be better "
        "than weights of 0."
    )
    return [PENALTY_DOMINATES.finding(Confidence.HINT, numbers, {"consequence": consequence})]
