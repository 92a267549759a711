"""What a compiled model's own metrics and loss say about themselves: Keras' private bookkeeping, read only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_clr._keras.tensors import to_numpy

ACCURACIES = {
    keras.metrics.binary_accuracy: "binary",
    keras.metrics.categorical_accuracy: "categorical",
    keras.metrics.top_k_categorical_accuracy: "categorical",
    keras.metrics.sparse_categorical_accuracy: "sparse",
    keras.metrics.sparse_top_k_categorical_accuracy: "sparse",
}
CROSS_ENTROPIES = {
    keras.losses.binary_crossentropy: "binary",
    keras.losses.categorical_crossentropy: "categorical",
    keras.losses.sparse_categorical_crossentropy: "sparse",
}


@dataclass(frozen=True)
class CountedAccuracy:
    """An accuracy that has counted right answers.

    Attributes:
        name: The metric's name.
        output: Which output of the model it belongs to, counted from 0.
        kind: What labels it is for: "binary", "categorical", "sparse" or "exact".
        correct: Right answers; of a sample with several columns, the share that is right.
        count: Answers.
        threshold: Output above which a binary accuracy takes the answer for a 1.
        top_k: An answer is right if it is among so many.
    """

    name: str
    output: int
    kind: str
    correct: float
    count: float
    threshold: float = 0.5
    top_k: int = 1


@dataclass(frozen=True)
class EpochReading:
    """What the model's own metrics have counted since they were last reset.

    Attributes:
        loss: Mean loss.
        num_samples: Samples behind it.
        accuracies: Each metric that counts right answers.
        unused: Names of accuracies that are weighted.
    """

    loss: float
    num_samples: float
    accuracies: tuple[CountedAccuracy, ...]
    unused: tuple[str, ...]


def read_epoch(model: Any) -> EpochReading:
    """Reads the loss tracker and the accuracies, whatever the user has named them."""
    compiled = model._compile_metrics
    built = compiled is not None and compiled.built
    accuracies, unused = [], []
    for output, part in enumerate(compiled._flat_metrics if built else []):
        for metric in part.metrics if part else []:
            kind = _kind_of(metric)
            if kind is None:
                continue
            options = getattr(metric, "_fn_kwargs", {})
            accuracies.append(
                CountedAccuracy(
                    metric.name,
                    output,
                    kind,
                    float(to_numpy(metric.total)),
                    float(to_numpy(metric.count)),
                    float(options.get("threshold", 0.5)),
                    int(options.get("k", 1)),
                )
            )
    for part in compiled._flat_weighted_metrics if built else []:
        unused += [metric.name for metric in (part.metrics if part else []) if _kind_of(metric)]
    tracker = model._loss_tracker
    count = float(to_numpy(tracker.count))
    loss = float(to_numpy(tracker.total)) / count if count else float("nan")
    return EpochReading(loss, count, tuple(accuracies), tuple(unused))


def penalty(model: Any, weights: Sequence[np.ndarray] | None = None) -> float:
    """What the regularizers of the trainable weights add to the loss, as they are or with other `weights`."""
    variables = model.trainable_variables
    values = [v.value for v in variables] if weights is None else map(keras.ops.convert_to_tensor, weights)
    return sum(
        float(to_numpy(variable.regularizer(value)))
        for variable, value in zip(variables, values, strict=True)
        if getattr(variable, "regularizer", None) is not None
    )


def _kind_of(metric: Any) -> str | None:
    if isinstance(metric, keras.metrics.Accuracy):
        return "exact"
    return ACCURACIES.get(getattr(metric, "_fn", None))


def loss_kind(loss: Any) -> tuple[str | None, bool]:
    """Of a Keras loss: "categorical", "sparse" or "binary" for a cross-entropy, else None; and if it takes logits."""
    kind = CROSS_ENTROPIES.get(getattr(loss, "fn", None))
    return kind, bool(getattr(loss, "_fn_kwargs", {}).get("from_logits"))


def probability_loss(model: Any) -> str | None:
    """Kind of a plain cross-entropy of probabilities ("categorical", "sparse", "binary"), else None."""
    compiled = model._compile_loss
    losses = compiled._flat_losses if compiled is not None and compiled.built else []
    if len(losses) != 1 or getattr(losses[0].loss, "_fn_kwargs", {}).get("label_smoothing"):
        return None
    kind, from_logits = loss_kind(losses[0].loss)
    return None if from_logits else kind
