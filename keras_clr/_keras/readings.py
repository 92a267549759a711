"""What a compiled model's own metrics and loss say about themselves: Keras' private bookkeeping, read only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras

from keras_clr._keras.gradients import to_numpy

_ACCURACIES = {
    keras.metrics.binary_accuracy: "binary",
    keras.metrics.categorical_accuracy: "categorical",
    keras.metrics.sparse_categorical_accuracy: "sparse",
}
_CROSS_ENTROPIES = {
    keras.losses.binary_crossentropy: "binary",
    keras.losses.categorical_crossentropy: "categorical",
    keras.losses.sparse_categorical_crossentropy: "sparse",
}


@dataclass(frozen=True)
class EpochReading:
    """What the model's own metrics have counted since they were last reset.

    Attributes:
        loss: Mean loss.
        num_samples: Samples behind it.
        accuracies: Of each metric that counts right answers: its name, what labels it is for ("binary",
            "categorical", "sparse", "exact"), right answers, answers, and the threshold of a binary one.
        unused: Names of accuracies that are weighted or belong to one of several outputs.
    """

    loss: float
    num_samples: float
    accuracies: tuple[tuple[str, str, float, float, float], ...]
    unused: tuple[str, ...]


def read_epoch(model: Any) -> EpochReading:
    """Reads the loss tracker and the accuracies, whatever the user has named them."""
    compiled = model._compile_metrics
    built = compiled is not None and compiled.built
    plain = [m for part in compiled._flat_metrics if part for m in part.metrics] if built else []
    weighted = [m for part in compiled._flat_weighted_metrics if part for m in part.metrics] if built else []
    several = built and len(compiled._flat_metrics) > 1
    accuracies, unused = [], []
    for metric in plain + weighted:
        kind = "exact" if isinstance(metric, keras.metrics.Accuracy) else _ACCURACIES.get(getattr(metric, "_fn", None))
        if kind is None:
            continue
        if several or any(metric is m for m in weighted):
            unused.append(metric.name)
            continue
        threshold = float(metric._fn_kwargs.get("threshold", 0.5))
        accuracies.append((metric.name, kind, float(to_numpy(metric.total)), float(to_numpy(metric.count)), threshold))
    tracker = model._loss_tracker
    count = float(to_numpy(tracker.count))
    loss = float(to_numpy(tracker.total)) / count if count else float("nan")
    return EpochReading(loss, count, tuple(accuracies), tuple(unused))


def probability_loss(model: Any) -> str | None:
    """Kind of a plain cross-entropy of probabilities ("categorical", "sparse", "binary"), else None."""
    compiled = model._compile_loss
    losses = compiled._flat_losses if compiled is not None and compiled.built else []
    if len(losses) != 1:
        return None
    loss = losses[0].loss
    options = getattr(loss, "_fn_kwargs", {})
    if options.get("from_logits") or options.get("label_smoothing"):
        return None
    return _CROSS_ENTROPIES.get(getattr(loss, "fn", None))
