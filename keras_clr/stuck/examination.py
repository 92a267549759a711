"""What can be found without watching: head, labels, inputs, and one look into the layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from keras_clr._errors import attempt
from keras_clr._keras.baseline import the_loss
from keras_clr._keras.compiled import given_loss
from keras_clr._keras.graph import raw_inputs
from keras_clr._keras.heads import Head, read_heads
from keras_clr._keras.optimizers import leaf_optimizers
from keras_clr._keras.prediction import predict_all
from keras_clr._keras.readings import loss_kind
from keras_clr._keras.rehearsal import refusal
from keras_clr._keras.taps import read_bad_outputs, read_layers
from keras_clr._keras.tensors import Batch
from keras_clr.finder.data import check_input_numbers, check_numbers
from keras_clr.stuck.causes import ranked
from keras_clr.stuck.causes.head import FIT_FAILS, LOSS_SUMMED
from keras_clr.stuck.causes.layers import NO_TRAINABLE_WEIGHTS
from keras_clr.stuck.checks.data import check_finite, check_inputs
from keras_clr.stuck.checks.finite import check_bad_outputs
from keras_clr.stuck.checks.head import check_head
from keras_clr.stuck.checks.layers import check_layers
from keras_clr.stuck.checks.metrics import misreading_metrics
from keras_clr.stuck.checks.task import CROSS_ENTROPIES, read_task
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
    targets = [
        target if task is None else replace(target, misread_by=misreading_metrics(head, task))
        for target, head, task in zip(targets, heads, tasks, strict=True)
    ]
    loss = heads[0].loss
    entropy = len(heads) == 1 and loss is not None and loss.kind in CROSS_ENTROPIES and not loss.summed
    return targets, targets[0].chance.cross_entropy if entropy else None


def mistakes_are_clear(model: Any, targets: Sequence[Target]) -> bool:
    """Whether a wrong answer of the only output gives its true class a probability of at most 1/2, by its loss."""
    kind, _ = loss_kind(the_loss(model))
    if len(targets) != 1 or kind is None:
        return False
    labels = targets[0].labels
    one_column = labels.ndim == 1 or labels.shape[-1] == 1
    # Of steps and pixels, some may be padding, which is to weigh nothing.
    return labels.ndim <= 2 and (kind == "categorical" or one_column)


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
    not_finite = check_finite(probe.non_finite)
    if not_finite and _makes_finite(model, probe.bad_inputs):
        return findings
    return findings + (not_finite or check_inputs(probe.inputs_by_name(), targets, raw_inputs(model)))


def examine_step(model: Any, probe: Probe) -> list[Finding]:
    """Whether a training step gets through at all."""
    reason = _refusal(model, probe.batches(model, None)[0]) if len(probe) else "there are no samples."
    return [] if reason is None else [FIT_FAILS.finding(Confidence.CERTIFICATE, {}, {"reason": reason})]


def _makes_finite(model: Any, inputs: Any) -> bool:
    """Whether the model itself replaces what is no number: its answers are finite."""
    if not model.built or inputs is None:
        return False
    num_samples = len(keras.tree.flatten(inputs)[0])
    batch = inputs, np.zeros(num_samples), np.ones(num_samples)
    answers, _ = attempt(lambda: predict_all(model, [batch]))
    return answers is not None and all(np.isfinite(part).all() for part in answers)


def rank(findings: Sequence[Finding], model: Any) -> tuple[Finding, ...]:
    """As `ranked`; that the loss is a sum is more than a hint beside what it does to SGD."""
    left = ranked(findings)
    harmed = any(f.code in LOSS_SUMMED.explains and f.confidence != Confidence.HINT for f in left)
    if not harmed or not isinstance(leaf_optimizers(model.optimizer)[0], keras.optimizers.SGD):
        return left
    surer = {LOSS_SUMMED.code: Confidence.FORECAST.value}
    return ranked(replace(f, confidence=surer.get(f.code, f.confidence)) for f in left)


def _refusal(model: Any, batch: Batch) -> str | None:
    """As `refusal`; of text it says so, where each backend has words of its own."""

    def check() -> None:
        check_input_numbers(batch[0])
        check_numbers("y", batch[1])

    reason = refusal(model, batch)
    return None if reason is None else attempt(check)[1] or reason


def find_misfit(model: Any, probe: Probe) -> str | None:
    """Why the model cannot be looked at on the samples, in words with the shapes of both; None if it can.

    Args:
        model: A built model.
        probe: At least one sample.
    """
    batch = probe.batches(model, None)[0]
    # Of a loss of the model's own, what labels it takes is not known.
    reason = refusal(model, batch) if given_loss(model) is not None else None
    reason = reason or attempt(lambda: predict_all(model, [batch]))[1]
    if reason is None:
        return None
    has = f"It has inputs of shape {_shapes(batch[0])} and labels of shape {_shapes(batch[1])}"
    sides = getattr(model, "inputs", None), getattr(model, "outputs", None)
    takes = "" if None in sides else f"; the model takes {_shapes(sides[0])} and gives {_shapes(sides[1])}"
    return f"`probe_data` does not fit the model. {has}{takes} (None is the batch). {reason}"


def _shapes(structure: Any) -> str:
    return ", ".join(str((None, *part.shape[1:])) for part in keras.tree.flatten(structure))


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
