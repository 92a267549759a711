"""Do output layer, loss, metrics and labels fit one another? Decided without training. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_clr._keras.heads import Head
from keras_clr.stuck.causes import head as causes
from keras_clr.stuck.checks.labels import check_labels
from keras_clr.stuck.checks.metrics import check_metrics
from keras_clr.stuck.checks.ranges import chain_of_loss, cross_entropy_floor, output_range
from keras_clr.stuck.checks.targets import check_targets
from keras_clr.stuck.checks.task import CROSS_ENTROPIES, LINKS, Task, head_finding, read_task
from keras_clr.stuck.finding import Confidence, Finding

# A floor under the cross-entropy that is worth a word, in nats: a probability of 0.95 costs as much.
_FLOOR = 0.05
# Kinds of losses that compare arrays of different shapes.
_STRETCHING = ("regression", "hinge", "poisson")
_SAMPLES = 99991


def check_head(head: Head, labels: np.ndarray) -> list[Finding]:
    """What is wrong between one output and its labels.

    Args:
        head: The output, its loss and its metrics.
        labels: Its labels, `(n, ...)`.

    Returns:
        Findings, in no order. Where something about the head is not known, its rules are silent.
    """
    labels = np.asarray(labels)
    head = head.for_labels(labels.shape)
    findings = check_labels(labels, head) + _check_axis(head) + _check_sum(head)
    task = read_task(labels, head)
    stretched = _check_stretched(head, labels.shape)
    if task is None or head.loss is None:
        return findings + stretched
    shapes = _check_shapes(head, task) or stretched
    # Other numbers of columns and units: Keras says so in its own words.
    if shapes or (task.columns > 1 and head.units not in (None, task.columns)):
        return findings + shapes
    # What a metric makes of labels that are wrong themselves is no cause of its own.
    wrong_labels = any(finding.confidence != Confidence.HINT for finding in findings)
    findings += _check_activation(head, task) + check_targets(head, task)
    return findings if wrong_labels else findings + check_metrics(head, task)


def _check_axis(head: Head) -> list[Finding]:
    """A loss that takes the samples of a batch for the classes."""
    if head.loss is None or not head.loss.over_batch:
        return []
    what = f"`{head.loss.name}` of output `{head.name}` has axis=0: it takes the samples of a batch for the classes."
    return [causes.SAMPLES_MIXED.finding(Confidence.CERTIFICATE, {"output": head.name}, {"what": what})]


def _check_sum(head: Head) -> list[Finding]:
    if head.loss is None or not head.loss.summed:
        return []
    return [causes.LOSS_SUMMED.finding(Confidence.HINT, {"output": head.name}, {"loss": head.loss.name})]


def _check_stretched(head: Head, label_shape: tuple[int, ...]) -> list[Finding]:
    """Labels of another shape than the output, where the loss stretches one over the other in silence."""
    if head.loss is None or head.shape is None or None in head.shape:
        return []
    if head.loss.kind not in _STRETCHING and not head.loss.stretches:
        return []
    # A number of samples that is no size of an axis.
    output, labels = (_SAMPLES, *(size or 0 for size in head.shape)), (_SAMPLES, *label_shape[1:])
    if len(output) == len(labels) + 1 and output[-1] == 1 and not head.loss.stretches:
        labels = (*labels, 1)
    elif len(labels) == len(output) + 1 and labels[-1] == 1:
        labels = labels[:-1]
    try:
        stretched = np.broadcast_shapes(output, labels)
    except ValueError:
        # Keras refuses them.
        return []
    if stretched == output == labels:
        return []
    numbers = {"output": head.name}
    words = {
        "loss": head.loss.name,
        "output_shape": _shape(head.shape),
        "label_shape": _shape(label_shape[1:]),
        "stretched": _shape(stretched[1:]),
    }
    return [causes.SHAPES_STRETCHED.finding(Confidence.FORECAST, numbers, words)]


def _shape(sizes: Sequence[int | None]) -> str:
    return f"({', '.join(['n', *(str(size).replace(str(_SAMPLES), 'n') for size in sizes)])})"


def _check_shapes(head: Head, task: Task) -> list[Finding]:
    """Units against columns and classes: at most one finding, as each makes the others meaningless."""
    loss, units, columns = head.loss, head.units, task.columns
    if loss is None or units is None:
        return []
    if units == 1 and head.activations[-1:] == ("softmax",):
        return [
            head_finding(
                causes.SOFTMAX_OVER_ONE_UNIT,
                Confidence.CERTIFICATE,
                head,
                task,
                {},
                normaliser="the softmax",
                consequence="it is 1 for every sample,"
                + (" even if the loss, which looks behind the softmax, falls," if loss.sees_logits else ""),
            )
        ]
    if units == 1 and loss.kind in ("categorical", "sparse") and columns == 1:
        return [
            head_finding(
                causes.SOFTMAX_OVER_ONE_UNIT,
                Confidence.CERTIFICATE,
                head,
                task,
                {},
                normaliser=f"`{loss.name}`",
                consequence="the loss does not depend on it,",
            )
        ]
    if columns > 1 and loss.kind == "sparse":
        return [
            head_finding(
                causes.ONE_HOT_LABELS_WITH_SPARSE_LOSS, Confidence.CERTIFICATE, head, task, {"columns": columns}
            )
        ]
    if columns == 1 and units > 1 and loss.kind in ("binary", "categorical", "regression"):
        refused = loss.kind != "regression"
        return [
            head_finding(
                causes.CLASS_NUMBERS_WITH_ONE_HOT_LOSS,
                Confidence.CERTIFICATE if refused else Confidence.FORECAST,
                head,
                task,
                {},
                consequence="Keras refuses the shapes."
                if refused
                else "each unit is compared with the same number, or Keras refuses the shapes.",
            )
        ]
    return _check_classes(head, task, loss.kind, units)


def _check_classes(head: Head, task: Task, kind: str, units: int) -> list[Finding]:
    if kind == "sparse":
        num_classes, share = int(task.labels.max()) + 1, float((task.labels >= units).mean())
    elif kind in ("binary", "categorical") and task.columns > units:
        num_classes, share = task.columns, float((task.labels[:, units:] > 0).any(axis=1).mean())
    else:
        return []
    if num_classes <= units:
        return []
    numbers = {"num_classes": num_classes, "share": share}
    return [head_finding(causes.FEWER_UNITS_THAN_CLASSES, Confidence.CERTIFICATE, head, task, numbers)]


def _check_activation(head: Head, task: Task) -> list[Finding]:
    """The functions between the last weights and the cross-entropy: one too many, none, or another one."""
    loss = head.loss
    if loss is not None and loss.kind == "divergence" and head.complete:
        return _check_divergence(head, task)
    if loss is None or loss.kind not in CROSS_ENTROPIES:
        return []
    if head.softmax_axis is not None and loss.kind != "binary" and (head.units or 1) > 1:
        numbers = {"axis": head.softmax_axis}
        return [head_finding(causes.SOFTMAX_OVER_OTHER_AXIS, Confidence.FORECAST, head, task, numbers)]
    last = head.activations[-1] if head.activations else None
    own = "sigmoid" if loss.kind == "binary" else "softmax"
    if loss.from_logits and loss.sees_logits and len(head.activations) == 1:
        consequence = (
            f"TensorFlow looks behind it, takes the logits there, and warns. JAX and torch would put a second {own} "
            "on top of it."
        )
        return [
            head_finding(causes.FROM_LOGITS_ON_PROBABILITIES, Confidence.HINT, head, task, {}, consequence=consequence)
        ]
    chain = chain_of_loss(head)
    if len(chain) > 1 and chain[-1] in LINKS:
        return _check_two_activations(head, task, chain, loss.from_logits)
    if head.complete and not (chain and chain[-1] in LINKS):
        return _check_no_activation(head, task, loss.kind)
    if last in LINKS and last != own and not loss.from_logits and (head.units or 1) > 1:
        return _check_other_activation(head, task, last)
    return []


def _check_divergence(head: Head, task: Task) -> list[Finding]:
    """A divergence of two distributions clips its arguments to [1e-7, 1], and does not see whether a row sums to 1."""
    low, high = output_range(head.activations, head.units)
    if head.activations[-1:] == ("softmax",) or (low >= 0.0 and high <= 1.0 and head.units == 1):
        return []
    consequence = (
        "outside [1e-7, 1] it is clipped, and the gradient there is exactly 0."
        if low < 0.0 or high > 1.0
        else "it is not: nothing makes a row sum to 1, and 1 for every class has the smallest loss of all."
    )
    numbers = {"low": low, "high": high}
    cause = causes.CROSS_ENTROPY_WITHOUT_ACTIVATION
    return [head_finding(cause, Confidence.FORECAST, head, task, numbers, consequence=consequence)]


def _check_two_activations(head: Head, task: Task, chain: tuple[str, ...], from_logits: bool) -> list[Finding]:
    floor = cross_entropy_floor(head, task.labels)
    low, high = output_range(chain, head.units)
    numbers = {"low": low, "high": high, "floor": floor}
    cause = causes.FROM_LOGITS_ON_PROBABILITIES if from_logits else causes.DOUBLE_ACTIVATION
    top = f"with the {chain[-1]} in the loss on top, " if from_logits else ""
    if floor >= _FLOOR:
        consequence = (
            f"{top}the probabilities lie in [{low:.4f}, {high:.4f}], and the loss cannot fall below {floor:.4f}, "
            "whatever the weights."
        )
        return [head_finding(cause, Confidence.CERTIFICATE, head, task, numbers, consequence=consequence)]
    if chain[-2] == "relu":
        consequence = (
            f"{top}no unit can go below 0 to say no, and a unit that is at 0 for every sample has no gradient and "
            "stays there."
        )
        return [head_finding(cause, Confidence.FORECAST, head, task, numbers, consequence=consequence)]
    return []


def _check_no_activation(head: Head, task: Task, kind: str) -> list[Finding]:
    low, high = output_range(head.activations, head.units)
    last = head.activations[-1] if head.activations else None
    if kind == "binary":
        if low >= 0.0 and high <= 1.0:
            return []
        consequence = (
            "outside [1e-7, 1 - 1e-7] it is clipped, and the gradient there is exactly 0. A run that comes to lie on "
            "the wrong side stays there."
        )
    elif last == "sigmoid":
        return _check_other_activation(head, task, last)
    elif low < 0.0:
        consequence = (
            "each row is divided by its sum, which may be 0 or negative, and then clipped to [1e-7, 1 - 1e-7], where "
            "the gradient is exactly 0."
        )
    elif last == "relu":
        consequence = (
            "a unit at 0 is clipped to 1e-7, where the gradient is exactly 0, and a row of zeros is 0 / 0 = NaN."
        )
    else:
        return []
    numbers = {"low": low, "high": high}
    return [
        head_finding(
            causes.CROSS_ENTROPY_WITHOUT_ACTIVATION, Confidence.FORECAST, head, task, numbers, consequence=consequence
        )
    ]


def _check_other_activation(head: Head, task: Task, last: str) -> list[Finding]:
    if last == "sigmoid":
        sure, wanted = Confidence.HINT, "softmax, one class of several"
        consequence = "it divides each row by its sum. That learns, as a rule; the outputs do not sum to 1."
    elif task.kind == "multi-label":
        several = float((task.labels.sum(axis=1) > 1).mean())
        sure, wanted = Confidence.FORECAST, "sigmoid, a yes or no of each unit"
        consequence = (
            f"the outputs of a row sum to 1, so that no more than one can be near 1, but {several:.1%} of the labels "
            "have more than one yes."
        )
    else:
        sure, wanted = Confidence.HINT, "sigmoid, a yes or no of each unit"
        consequence = "that learns, as a rule, if more slowly with many classes."
    return [
        head_finding(
            causes.ACTIVATION_DOES_NOT_MATCH_LOSS, sure, head, task, {}, wanted=wanted, consequence=consequence
        )
    ]
