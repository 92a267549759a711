"""What can be found without watching: head, labels, inputs, and one look into the layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_clr._keras.graph import raw_inputs
from keras_clr._keras.heads import Head, read_heads
from keras_clr._keras.rehearsal import refusal
from keras_clr._keras.taps import read_bad_outputs, read_layers
from keras_clr.stuck.causes.head import FIT_FAILS
from keras_clr.stuck.causes.layers import NO_TRAINABLE_WEIGHTS
from keras_clr.stuck.checks.data import check_inputs
from keras_clr.stuck.checks.finite import check_bad_outputs
from keras_clr.stuck.checks.head import check_head
from keras_clr.stuck.checks.layers import check_layers
from keras_clr.stuck.checks.task import read_task
from keras_clr.stuck.finding import Confidence, Finding
from keras_clr.stuck.probe import Probe, Target

# What `chance_level` calls the tasks that `read_task` tells apart.
_TASKS = {
    "binary": "classes",
    "sparse": "classes",
    "one-hot": "classes",
    "multi-label": "multi-label",
    "values": "regression",
}


def find_targets(model: Any, probe: Probe) -> tuple[list[Target], float | None]:
    """What is asked of each output of the model, and what the loss of the only one is at chance, if it is an entropy.

    Raises:
        ValueError: As `Probe.targets` does.
    """
    heads, labels = _heads(model, probe)
    heads = tuple(head.for_labels(y.shape) for head, y in zip(heads, labels, strict=True))
    tasks = [read_task(y, head) for head, y in zip(heads, labels, strict=True)]
    targets = probe.targets(
        [head.name for head in heads], [None if task is None else _TASKS[task.kind] for task in tasks]
    )
    loss = heads[0].loss
    entropy = len(heads) == 1 and loss is not None and loss.kind in ("binary", "categorical", "sparse")
    return targets, targets[0].chance.cross_entropy if entropy else None


def examine_model(model: Any, probe: Probe) -> list[Finding]:
    """What is wrong between output layers, losses, metrics, labels and inputs, without a pass through the model.

    Of the layers only that none can be trained: all else needs a pass.
    """
    heads, labels = _heads(model, probe)
    findings = [finding for head, y in zip(heads, labels, strict=True) for finding in check_head(head, y)]
    kept = probe.labels([head.name for head in heads])
    targets = kept[0] if len(kept) == 1 else None
    if model.built and not model.trainable_variables:
        findings.append(NO_TRAINABLE_WEIGHTS.finding(Confidence.CERTIFICATE, {}))
    return findings + check_inputs(probe.inputs_by_name(), targets, raw_inputs(model))


def examine_step(model: Any, probe: Probe) -> list[Finding]:
    """Whether a training step gets through at all."""
    reason = refusal(model, probe.batches(model, None)[0]) if len(probe) else "there are no samples."
    return [] if reason is None else [FIT_FAILS.finding(Confidence.CERTIFICATE, {}, {"reason": reason})]


def _heads(model: Any, probe: Probe) -> tuple[tuple[Head, ...], list[np.ndarray]]:
    """The outputs, and all labels of each."""
    heads = read_heads(model, probe.first_sample())
    return heads, probe.labels([head.name for head in heads], kept=False)


def examine_layers(
    model: Any, probe: Probe, *, before_training: bool, chance_loss: float | None
) -> tuple[list[Finding], tuple[str, ...]]:
    """What a pass through the layers shows on a few samples, and what it cannot show.

    Args:
        model: A built model.
        probe: The samples, of which one batch is looked at.
        before_training: True if the model has not been trained.
        chance_loss: Entropy of the labels' shares if the loss is a cross-entropy, else None.
    """
    reading = read_layers(model, probe.batches(model, None)[:1])
    return check_layers(reading, before_training=before_training, chance_loss=chance_loss), reading.cannot_know


def examine_divergence(model: Any, probe: Probe) -> list[Finding]:
    """Whether samples have no number for an answer, whatever the weights; asked when the weights are lost."""
    batches = probe.batches(model, None)
    # The last one may be filled up: what is in it would count twice.
    num_full = max(1, len(probe) // len(batches[0][2]))
    return check_bad_outputs(read_bad_outputs(model, batches[:num_full]))
