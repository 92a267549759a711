"""Are the values of the labels such as the loss is made for? Pure."""

from __future__ import annotations

import math

import numpy as np

from keras_clr._keras.heads import Head
from keras_clr.stuck.causes import data as causes
from keras_clr.stuck.checks.ranges import output_range
from keras_clr.stuck.checks.task import CROSS_ENTROPIES, Task, at_most_one_yes, fitting_head, read_task
from keras_clr.stuck.finding import Confidence, Finding

# A class with this share of the labels leaves little for the accuracy to say.
_IMBALANCE = 0.8
# Targets of this mean or spread: 100,000 steps of Adam at its default rate of 0.001.
_LARGE_TARGET = 100.0
_ADAM_RATE = 0.001
_NO_CLASS = "y = np.concatenate([y, y.sum(axis=-1, keepdims=True) == 0], axis=-1)  # a class of its own\n"
# Below it, the larger of two labels in [0, 1] is not the "yes" of a smoothed label any more.
_SMALL_YES = 0.5


def check_labels(labels: np.ndarray, head: Head) -> list[Finding]:
    """What is wrong with the values of the labels of one output, `(n, ...)`, for its loss."""
    labels = np.asarray(labels)
    head = head.for_labels(labels.shape)
    loss = head.loss
    if loss is None or labels.dtype.kind not in "biuf" or labels.size == 0 or labels.ndim == 0:
        return []
    finite = np.isfinite(labels).reshape(len(labels), -1).all(axis=1)
    if not finite.all():
        sure = Confidence.HINT if loss.kind == "other" else Confidence.CERTIFICATE
        numbers = {"output": head.name, "num_bad": int((~finite).sum()), "num_samples": len(labels)}
        return [causes.NON_FINITE_LABELS.finding(sure, numbers)]
    task = read_task(labels, head)
    if task is None:
        return []
    findings = _check_constant(task, head, len(labels))
    if not findings:
        findings = _check_range(task, head) or _check_whole(task, head)
    return findings or _check_shares(task, head) + _check_scale(task, head)


def _check_constant(task: Task, head: Head, num_samples: int) -> list[Finding]:
    kind = head.loss.kind if head.loss else "other"
    if len(task.labels) < 2 or kind == "other" or (task.labels != task.labels[0]).any():
        return []
    value = np.array2string(task.labels[0], precision=4, threshold=8) if task.columns > 1 else f"{task.labels[0]:g}"
    sure = Confidence.CERTIFICATE if kind in CROSS_ENTROPIES else Confidence.FORECAST
    return [causes.CONSTANT_LABELS.finding(sure, {"output": head.name, "num_samples": num_samples, "value": value})]


def _check_range(task: Task, head: Head) -> list[Finding]:
    loss, labels = head.loss, task.labels
    if loss is None:
        return []
    low, high = float(labels.min()), float(labels.max())
    sure, are, consequence = Confidence.CERTIFICATE, f"go from {low:.4g} to {high:.4g}", ""
    if loss.kind == "binary":
        wanted = "in [0, 1]"
        if low < 0.0 or high > 1.0:
            consequence = (
                "It has no lower end then, and falls below 0 while nothing is learned (torch stops with an error)."
            )
        elif task.columns == 1 and low == 0.0 and 0.0 < high < _SMALL_YES and len(np.unique(labels)) == 2:
            sure, consequence = Confidence.FORECAST, "No answer is a yes. Were they scaled by mistake?"
    elif loss.kind == "categorical":
        wanted = "whose rows sum to 1"
        sums = labels.sum(axis=1) if task.columns > 1 else np.ones(1)
        if low < 0.0:
            consequence = "It has no lower end then."
        elif not np.allclose(sums, 1.0, atol=1e-3):
            same = bool(np.allclose(sums, sums[0], rtol=1e-3))
            sure = Confidence.FORECAST if same else Confidence.HINT
            are = f"sum to {sums.min():.4g} ... {sums.max():.4g}"
            if same:
                consequence = "Were they scaled by mistake?"
            elif at_most_one_yes(labels):
                task = Task("one-hot", labels, task.num_classes + 1, _NO_CLASS)
                consequence = (
                    f"A row of zeros, as {np.mean(sums == 0.0):.1%} of them are, costs nothing and teaches nothing. Is "
                    "a column missing?"
                )
            else:
                consequence = "With several yes in a row, a sigmoid for each unit and a binary cross-entropy fit."
    elif loss.kind == "sparse":
        wanted = "from 0"
        if low < 0.0:
            consequence = "Some backends stop with an error; others leave these samples out in silence."
    elif loss.kind == "poisson":
        wanted = "from 0"
        if low < 0.0:
            consequence = "It has no lower end then."
    elif loss.kind == "hinge":
        wanted = "-1 and 1 (or 0 and 1)"
        if not (np.isin(labels, (-1.0, 1.0)).all() or np.isin(labels, (0.0, 1.0)).all()):
            sure, consequence = Confidence.FORECAST, "Their size counts as if it were their importance."
    if not consequence:
        return []
    numbers = {"output": head.name, "smallest": low, "largest": high}
    words = {
        "loss": loss.name,
        "wanted": wanted,
        "are": are,
        "consequence": consequence,
        "change": fitting_head(head, task),
    }
    return [causes.LABELS_OUTSIDE_RANGE.finding(sure, numbers, words)]


def _check_whole(task: Task, head: Head) -> list[Finding]:
    fractional = task.labels != np.floor(task.labels)
    if head.loss is None or head.loss.kind != "sparse" or task.columns > 1 or not fractional.any():
        return []
    numbers = {
        "output": head.name,
        "share": float(fractional.mean()),
        "value": float(task.labels[fractional][0]),
    }
    words = {"loss": head.loss.name, "change": fitting_head(head, task)}
    return [causes.LABELS_NOT_WHOLE_NUMBERS.finding(Confidence.CERTIFICATE, numbers, words)]


def _check_shares(task: Task, head: Head) -> list[Finding]:
    if task.kind not in ("binary", "sparse", "one-hot") or head.loss is None or head.loss.kind == "regression":
        return []
    classes = task.labels if task.columns == 1 else task.labels.argmax(axis=1)
    counts = np.unique(classes, return_counts=True)[1]
    chance = float(counts.max() / counts.sum())
    if len(counts) < 2 or chance < _IMBALANCE:
        return []
    numbers = {
        "output": head.name,
        "chance": chance,
        "num_samples": int(counts.sum()),
        "num_classes": len(counts),
    }
    return [causes.CLASS_IMBALANCE.finding(Confidence.HINT, numbers)]


def _check_scale(task: Task, head: Head) -> list[Finding]:
    if task.kind != "values" or head.loss is None or head.loss.kind != "regression" or not head.complete:
        return []
    if math.isfinite(output_range(head.activations, head.units)[1]):
        return []
    columns = task.labels.reshape(len(task.labels), -1)
    means, spread = columns.mean(axis=0), float(columns.std(axis=0).max())
    starts = np.zeros(1) if head.start is None or head.start.size not in (1, len(means)) else head.start.reshape(-1)
    gaps = np.abs(means - starts)
    column = int(gaps.argmax())
    gap = float(gaps[column])
    if max(gap, spread) < _LARGE_TARGET:
        return []
    numbers = {
        "output": head.name,
        "mean": float(means[column]),
        "spread": spread,
        "start": float(np.broadcast_to(starts, means.shape)[column]),
        "steps": max(gap, spread) / _ADAM_RATE,
    }
    return [causes.TARGET_SCALE.finding(Confidence.HINT, numbers)]
