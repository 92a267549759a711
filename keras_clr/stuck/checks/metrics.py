"""Does a metric mean what it says for this output and these labels? Pure."""

from __future__ import annotations

import numpy as np

from keras_clr._keras.compiled import HeadMetric
from keras_clr._keras.heads import Head
from keras_clr.stuck.causes.head import METRIC_MISREADS_OUTPUT
from keras_clr.stuck.checks.ranges import output_range
from keras_clr.stuck.checks.task import Task, at_most_one_yes, fitting_head, fitting_metric
from keras_clr.stuck.finding import Confidence, Finding


def check_metrics(head: Head, task: Task) -> list[Finding]:
    """At most one finding for the metrics of an output: the first that misreads it."""
    for metric in head.metrics:
        misreading = _misreading(head, task, metric)
        if misreading is None:
            continue
        sure, consequence, numbers = misreading
        low, high = output_range(head.activations, head.units)
        if (head.units == 1 and task.kind == "sparse") or not low < 0.5 < high:
            # No metric tells several classes apart by one unit, or an output that cannot go below 0.5.
            change = fitting_head(head, task)
        else:
            change = fitting_metric(head, task, logits=low < 0.0)
        seen = {"output": head.name, "metric": metric.name, **numbers}
        return [METRIC_MISREADS_OUTPUT.finding(sure, seen, {"consequence": consequence, "change": change})]
    return []


def misreading_metrics(head: Head, task: Task) -> frozenset[tuple[str, float]]:
    """Names and thresholds of the metrics from which nothing can be told about the answers."""
    misreadings = [(metric, _misreading(head, task, metric)) for metric in head.metrics]
    return frozenset((m.name, m.threshold) for m, found in misreadings if found and found[0] != Confidence.HINT)


_Misreading = tuple[Confidence, str, dict[str, float]]


def _misreading(head: Head, task: Task, metric: HeadMetric) -> _Misreading | None:
    logits = head.loss is not None and head.loss.from_logits and head.complete and not head.activations
    units = head.units or 1
    if metric.kind == "binary":
        return _of_threshold(head, task, metric, logits)
    if metric.kind == "probability" and logits:
        text = "it takes outputs for probabilities, but with from_logits=True they are logits, which may be below 0."
        return Confidence.HINT, text, {}
    if metric.kind == "exact":
        text = "`keras.metrics.Accuracy` counts outputs that are equal to the label to the last bit: hardly ever."
        return Confidence.FORECAST, text, {}
    if metric.kind == "categorical" and units > 1 and task.columns == 1:
        text = (
            "it looks for the largest entry of each label row, but the labels are class numbers, one a row: it counts "
            "how often the answer is class 0."
        )
        return Confidence.FORECAST, text, {}
    if metric.kind == "sparse" and task.columns > 1:
        return Confidence.FORECAST, "it takes class numbers, but the labels are rows of columns.", {}
    if metric.kind == "categorical" and task.kind in ("multi-label", "values") and units > 1:
        if at_most_one_yes(task.labels):
            text = "a label row of zeros, which is of no class, counts as class 0."
            return Confidence.HINT, text, {}
        text = (
            f"it counts how often the largest of {units} outputs sits where the largest label sits; the other columns "
            "do not count."
        )
        return Confidence.HINT, text, {"units": float(units)}
    return None


def _of_threshold(head: Head, task: Task, metric: HeadMetric, logits: bool) -> _Misreading | None:
    threshold = metric.threshold
    attainable = float(np.isin(task.labels, (0.0, 1.0)).mean())
    if attainable < 1.0:
        text = (
            f"an answer, 1 above {threshold:g} and else 0, is right if it is equal to the label, but only "
            f"{attainable:.1%} of the labels are 0 or 1: it can never be higher, whatever the weights."
        )
        return Confidence.CERTIFICATE, text, {"attainable": attainable}
    low, high = output_range(head.activations, head.units)
    if low >= threshold or high <= threshold:
        answer = 1 if low >= threshold else 0
        share = float((task.labels == answer).mean())
        text = (
            f"the output lies in [{low:.4g}, {high:.4g}], so that with a threshold of {threshold:g} every answer is "
            f"{answer}: it stays at {share:.4f}, the share of the labels that are {answer}, whatever the weights."
        )
        return Confidence.CERTIFICATE, text, {"threshold": threshold, "share": share}
    if logits and threshold == 0.5:
        text = "its threshold of 0.5 is meant for probabilities; a logit of 0.5 is a probability of 0.62, and 0 is 0.5."
        return Confidence.HINT, text, {"threshold": threshold}
    if (head.units or 1) > 1 and task.kind == "one-hot":
        share = 1.0 - 1.0 / task.columns
        text = f"it counts entries: a no to all {task.columns} columns of every sample is worth {share:.4f}."
        return Confidence.HINT, text, {"share": share}
    return None
