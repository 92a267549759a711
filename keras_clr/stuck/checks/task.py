"""What the labels ask for, and the head, loss and metric that fit them. Pure numpy, and the code to paste."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_clr._keras.heads import Head
from keras_clr.stuck.finding import Cause, Confidence, Finding

# Kinds of `HeadLoss` that compare probabilities.
CROSS_ENTROPIES = ("binary", "categorical", "sparse")
# Activations that make probabilities.
LINKS = ("sigmoid", "softmax")
# More numbers than this in one column are quantities, unless a loss for classes takes them as they are.
_MOST_CLASSES = 20
_LOSSES = {
    "binary": "keras.losses.BinaryCrossentropy(from_logits=True)",
    "multi-label": "keras.losses.BinaryCrossentropy(from_logits=True)",
    "sparse": "keras.losses.SparseCategoricalCrossentropy(from_logits=True)",
    "one-hot": "keras.losses.CategoricalCrossentropy(from_logits=True)",
    "values": '"mean_squared_error"',
}
# With a new optimizer: an old one belongs to the model that it was made for.
_SETTINGS = (
    'settings = model.get_compile_config() | {"loss": None, "metrics": None}\n'
    "settings = keras.saving.deserialize_keras_object(settings)  # all that was compiled, with a new optimizer\n"
)


@dataclass(frozen=True)
class Task:
    """What the labels of one output are.

    Attributes:
        kind: "binary" (two classes in one column), "sparse" (class numbers), "one-hot" (also probabilities),
            "multi-label" (several yes a row) or "values" (a regression).
        labels: Finite labels as floats: `(n,)` for one column, else `(n, columns)`; the other axes are rows, too.
        num_classes: Classes, or columns of "multi-label" and "values".
        prepare: Code that makes such labels of the user's, or "".
    """

    kind: str
    labels: np.ndarray
    num_classes: int
    prepare: str = ""

    @property
    def columns(self) -> int:
        """Columns of the labels."""
        return 1 if self.labels.ndim == 1 else self.labels.shape[1]


def read_task(labels: np.ndarray, head: Head) -> Task | None:
    """What these labels are, in the light of the head; None if they are not finite numbers or of another form."""
    if labels.dtype.kind not in "biuf" or labels.size == 0 or labels.ndim == 0:
        return None
    table = _as_table(labels.astype(np.float64), head)
    if table is None or not np.isfinite(table).all():
        return None
    if head.loss is not None and head.loss.ignore_class is not None:
        table = table[table != head.loss.ignore_class] if table.ndim == 1 else table
        if not table.size:
            return None
    if table.ndim == 2:
        return Task(_kind_of_rows(table, head), table, table.shape[1])
    if not is_classification(head):
        return Task("values", table, 1)
    return _classes_in_one_column(table, head)


def is_classification(head: Head) -> bool:
    """True if loss, activation or metrics say that the answers are classes."""
    loss = head.loss.kind if head.loss else None
    return (
        loss in (*CROSS_ENTROPIES, "hinge")
        or (loss == "regression" and "softmax" in head.activations)
        or any(m.kind in ("accuracy", "binary", "categorical", "sparse") for m in head.metrics)
    )


def _as_table(values: np.ndarray, head: Head) -> np.ndarray | None:
    """One column as `(n,)`, several as `(n, columns)`: which axes are samples follows from the output's rank."""
    if values.ndim > 1 and values.shape[-1] == 1:
        return values.reshape(-1)
    rank = head.rank
    if rank is None:
        return values if values.ndim <= 2 else None
    if values.ndim == rank + 1 and values.ndim > 1:
        return values.reshape(-1, values.shape[-1])
    return values.reshape(-1) if values.ndim in (1, rank) else None


def _kind_of_rows(rows: np.ndarray, head: Head) -> str:
    if rows.min() >= 0.0 and np.allclose(rows.sum(axis=1), 1.0, atol=1e-3):
        return "one-hot"
    probabilities = head.loss is not None and head.loss.kind == "binary" and _are_probabilities(rows)
    return "multi-label" if probabilities or np.isin(rows, (0.0, 1.0)).all() else "values"


def at_most_one_yes(rows: np.ndarray) -> bool:
    """True for rows of 0/1 of which none has more than one 1."""
    return rows.ndim == 2 and bool(np.isin(rows, (0.0, 1.0)).all() and (rows.sum(axis=1) <= 1.0).all())


def _are_probabilities(values: np.ndarray) -> bool:
    return bool(values.min() >= 0.0 and values.max() <= 1.0)


def _classes_in_one_column(values: np.ndarray, head: Head) -> Task:
    classes = np.unique(values)
    low, high = float(classes[0]), float(classes[-1])
    whole = low >= 0.0 and bool((classes == np.floor(classes)).all())
    units, kind = head.units or 1, head.loss.kind if head.loss else None
    if whole and units > 1:
        return _class_numbers(values, classes, units)
    if np.isin(classes, (0.0, 1.0)).all():
        return Task("binary", values, 2)
    if kind == "binary" and len(classes) > 2 and _are_probabilities(values):
        return Task("multi-label", values, 1)
    if len(classes) == 2:
        return Task("binary", values, 2, f'y = (y > {0.5 * (low + high):g}).astype("float32")\n')
    if len(classes) > _MOST_CLASSES and (kind == "regression" or not whole):
        return Task("values", values, 1)
    if whole and high < 2 * len(classes):
        return _class_numbers(values, classes, 1)
    return Task("sparse", values, len(classes), "classes, y = np.unique(y, return_inverse=True)\n")


def _class_numbers(values: np.ndarray, classes: np.ndarray, units: int) -> Task:
    low, high = int(classes[0]), int(classes[-1])
    if low > 0 and high >= units and len(classes) == high - low + 1:
        return Task("sparse", values, max(high + 1 - low, units), f"y = y - {low}\n")
    return Task("sparse", values, max(high + 1, units))


def fitting_head(head: Head, task: Task) -> str:
    """Code for the last layer, loss and metric that fit the labels."""
    units = 1 if task.kind == "binary" else task.num_classes
    loss = _LOSSES[task.kind]
    metrics = f"[{_metric(task, logits=True)}]"
    if head.dense is None:
        return (
            f"{_start(task)}head = keras.layers.Dense({units})  # last layer: no activation, and no layer after it\n"
            f"loss = {loss}\nmetrics = {metrics}\n"
            "# model.compile(optimizer, loss=loss, metrics=metrics), and start from new weights.\n"
        )
    link = "sigmoid" if task.kind in ("binary", "multi-label") else "softmax"
    note = f"# model.predict gives logits now; keras.ops.{link} makes probabilities of them.\n"
    return (
        f"{_start(task)}{_SETTINGS}"
        f'settings |= {{"loss": {loss}, "metrics": {metrics}}}\n'
        f'features = model.get_layer("{head.dense}").input\n'
        f'logits = keras.layers.Dense({units}, name="{head.name}")(features)  # no activation\n'
        "inputs = model.inputs if len(model.inputs) > 1 else model.inputs[0]\n"
        "model = keras.Model(inputs, logits)\n"
        f"model.compile(**settings)\n{'' if task.kind == 'values' else note}"
    )


def fitting_metric(head: Head, task: Task, logits: bool) -> str:
    """Code that compiles the model as it is with the metric that fits the labels, on logits or on probabilities."""
    return (
        f"{_start(task)}{_SETTINGS}"
        f'settings |= {{"loss": model.loss, "metrics": [{_metric(task, logits)}]}}  # of output `{head.name}`\n'
        "model.compile(**settings)\n"
    )


def _start(task: Task) -> str:
    return f"import keras\n{'import numpy as np' + chr(10) if 'np.' in task.prepare else ''}\n{task.prepare}"


def _metric(task: Task, logits: bool) -> str:
    if task.kind == "values":
        return '"mean_absolute_error"'
    if task.kind in ("binary", "multi-label"):
        return f"keras.metrics.BinaryAccuracy(threshold={0.0 if logits else 0.5})"
    return '"accuracy"'


def head_finding(
    cause: Cause, sure: Confidence, head: Head, task: Task, numbers: Mapping[str, Any], **words: str
) -> Finding:
    """A finding about a head, with the names of its parts, and by default the head that fits the labels as its fix."""
    names = {
        "chain": " -> ".join(head.activations) or "no activation",
        "loss": head.loss.name if head.loss else "",
        "change": fitting_head(head, task),
    }
    return cause.finding(sure, {"output": head.name, "units": head.units, **numbers}, {**names, **words})
