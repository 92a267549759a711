"""Losses that compare numbers: can the output reach the targets, and are they quantities at all? Pure."""

from __future__ import annotations

import math

import numpy as np

from keras_clr._keras.heads import Head
from keras_clr.stuck.causes import head as causes
from keras_clr.stuck.checks.ranges import output_range
from keras_clr.stuck.checks.task import LINKS, Task, head_finding, is_classification
from keras_clr.stuck.finding import Confidence, Finding

# What is out of reach, of the targets' variance or of a hinge loss, that is worth a word.
_OUT_OF_REACH = 0.1


def check_targets(head: Head, task: Task) -> list[Finding]:
    """Losses that compare numbers: can the output reach them, and are they quantities at all?"""
    loss = head.loss
    if loss is None or loss.kind not in ("regression", "hinge"):
        return []
    findings = _check_reach(head, task, loss.kind)
    last = head.activations[-1] if head.activations else None
    hard = bool(np.isin(task.labels, (0.0, 1.0)).all())
    as_classes = is_classification(head) or (last in LINKS and task.kind != "multi-label")
    if findings or loss.kind == "hinge" or not as_classes:
        return findings
    if task.kind == "sparse":
        consequence = "One unit can only answer in the order of the numbers: between 0 and 2 lies 1."
    elif hard:
        consequence = "Where the output is surely wrong, its gradient vanishes; that of a cross-entropy does not."
    else:
        return findings
    numbers = {"num_classes": max(task.num_classes, 2)}
    return [
        head_finding(causes.REGRESSION_LOSS_ON_CLASSES, Confidence.HINT, head, task, numbers, consequence=consequence)
    ]


def _check_reach(head: Head, task: Task, kind: str) -> list[Finding]:
    low, high = output_range(head.activations, head.units)
    targets = task.labels
    if kind == "hinge" and np.isin(targets, (0.0, 1.0)).all():
        # As Keras reads them.
        targets = 2.0 * targets - 1.0
    nearest = np.clip(targets, low, high)
    outside = nearest != targets
    variance = float(np.mean((targets - targets.mean(axis=0)) ** 2))
    if not outside.any() or not (math.isfinite(low) or math.isfinite(high)) or variance == 0.0:
        return []
    if kind == "hinge":
        least = float(np.mean(np.maximum(0.0, 1.0 - targets * nearest)))
        too_far, consequence = least >= _OUT_OF_REACH, f"The loss cannot fall below {least:.4f}, whatever the weights."
    else:
        least = float(np.mean((targets - nearest) ** 2))
        too_far = least >= _OUT_OF_REACH * variance
        consequence = (
            f"The mean squared error cannot fall below {least:.4g}, whatever the weights; answering the mean of the "
            f"targets costs {variance:.4g}."
        )
    if not too_far:
        return []
    numbers = {
        "low": low,
        "high": high,
        "share": float(outside.mean()),
        "smallest": float(targets.min()),
        "largest": float(targets.max()),
        "least": least,
    }
    return [head_finding(causes.BOUNDED_OUTPUT, Confidence.CERTIFICATE, head, task, numbers, consequence=consequence)]
