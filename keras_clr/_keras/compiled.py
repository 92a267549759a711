"""What `compile` was given for each output: loss and metrics. Read only; nothing is built."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_clr._errors import attempt
from keras_clr._keras.random_state import capture_random_state
from keras_clr._keras.readings import ACCURACIES, CROSS_ENTROPIES
from keras_clr._keras.tensors import tensors, to_numpy

_REGRESSION = (
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
)
_LOSS_KINDS = {
    **CROSS_ENTROPIES,
    keras.losses.binary_focal_crossentropy: "binary",
    keras.losses.categorical_focal_crossentropy: "categorical",
    keras.losses.hinge: "hinge",
    keras.losses.squared_hinge: "hinge",
    keras.losses.poisson: "poisson",
    keras.losses.kl_divergence: "divergence",
    **{getattr(keras.losses, name): "regression" for name in _REGRESSION},
}
# Sums in another order, relative to the sum.
_ROUNDING = 1e-4
_SHORT_NAMES = ("mse", "mae", "mape", "msle")
_METRIC_KINDS = {
    **ACCURACIES,
    keras.metrics.BinaryAccuracy: "binary",
    keras.metrics.CategoricalAccuracy: "categorical",
    keras.metrics.SparseCategoricalAccuracy: "sparse",
    keras.metrics.Accuracy: "exact",
    keras.metrics.MeanSquaredError: "regression",
    keras.metrics.MeanAbsoluteError: "regression",
    keras.metrics.RootMeanSquaredError: "regression",
    keras.metrics.AUC: "probability",
    keras.metrics.Precision: "probability",
    keras.metrics.Recall: "probability",
}


@dataclass(frozen=True)
class HeadLoss:
    """The loss of one output.

    Attributes:
        name: As Keras or the user calls it.
        kind: Labels it is for: "binary", "categorical", "sparse" (cross-entropies), "divergence", "regression",
            "hinge", "poisson" or "other"; "crossentropy" if Keras chooses by the labels' shape.
        from_logits: Whether it applies a sigmoid or softmax itself.
        label_smoothing: Share that is moved from the true class to all classes.
        ignore_class: Class number that it leaves out, or None.
        sees_logits: Whether it looks behind the last activation and takes the values there (the TensorFlow backend, if
            softmax or sigmoid comes last).
        over_batch: Whether it takes the samples of a batch for the classes (axis=0).
        summed: Whether the losses of a batch are added up (reduction="sum") and not averaged.
        stretches: Whether it compares labels of shape (n,) with outputs of (n, 1) one with all, as a subclass of `Loss`
            may; Keras makes the shapes alike only for functions.
    """

    name: str
    kind: str
    from_logits: bool = False
    label_smoothing: float = 0.0
    ignore_class: int | None = None
    sees_logits: bool = False
    over_batch: bool = False
    summed: bool = False
    stretches: bool = False


@dataclass(frozen=True)
class HeadMetric:
    """A metric of one output.

    Attributes:
        name: As Keras or the user calls it.
        kind: "binary", "categorical", "sparse" (accuracies), "exact" (`Accuracy`), "probability" (AUC, precision,
            recall), "regression" or "other"; "accuracy" if Keras chooses by the labels' shape.
        threshold: Output above which a "binary" one counts a yes.
    """

    name: str
    kind: str
    threshold: float = 0.5


def check_compiled(model: Any) -> None:
    """Refuses a model without optimizer and loss.

    Raises:
        ValueError: If it is not compiled.
    """
    if not getattr(model, "compiled", False):
        raise ValueError(
            "Argument `model` must be compiled: call `model.compile(optimizer=..., loss=...)` first. "
            f"Received: model of type {type(model).__name__}"
        )


def given_loss(model: Any) -> Any:
    """What the user gave as loss; None if there is none, or the model computes its own."""
    own = any(
        getattr(type(model), method, None) is not getattr(keras.Model, method)
        for method in ("compute_loss", "train_step")
    )
    return None if own or not getattr(model, "compiled", False) else getattr(model, "loss", None)


def losses_of(model: Any, names: Sequence[Sequence[str]]) -> list[Any]:
    """What the user gave as loss for each output; None where there is none, or the model computes its own.

    Args:
        model: A compiled model.
        names: For each output, what the user may call it.
    """
    given = given_loss(model)
    return [_entry(given, names, place) for place in range(len(names))]


def metrics_of(model: Any, names: Sequence[Sequence[str]], place: int) -> tuple[HeadMetric, ...]:
    """The metrics of one output, weighted or not."""
    compiled = getattr(model, "_compile_metrics", None)
    found: list[HeadMetric] = []
    for given in (getattr(compiled, "_user_metrics", None), getattr(compiled, "_user_weighted_metrics", None)):
        # With one output, all metrics are its own, whatever the names.
        mine = given if len(names) == 1 else _entry(given, names, place)
        found += [_read_metric(entry) for entry in keras.tree.flatten(mine) if entry is not None]
    return tuple(found)


def read_loss(identifier: Any, ends_in_link: bool, num_axes: int) -> HeadLoss | None:
    """Reads a loss.

    Args:
        identifier: What the user gave: string, function, class, instance or None.
        ends_in_link: Whether the very last thing the output goes through is a softmax or sigmoid.
        num_axes: Axes of the output, the batch included.
    """
    if identifier is None:
        return None
    looks_behind = ends_in_link and keras.backend.backend() == "tensorflow"
    if isinstance(identifier, str) and identifier.lower() in ("crossentropy", "ce"):
        return HeadLoss(identifier, "crossentropy", sees_logits=looks_behind)
    try:
        loss = keras.losses.get(identifier)
    except (ValueError, TypeError):
        return HeadLoss(str(identifier), "other")
    function: Any = getattr(loss, "fn", loss)
    options = dict(getattr(loss, "_fn_kwargs", {}))
    if isinstance(function, functools.partial):
        function, options = function.func, {**function.keywords, **options}
    kind = next((kind for known, kind in _LOSS_KINDS.items() if function is known), "other")
    if options.get("axis", -1) not in (-1, num_axes - 1):
        kind = "other"
    over_batch = options.get("axis") in (0, -num_axes)
    return HeadLoss(
        name=identifier if isinstance(identifier, str) else str(getattr(loss, "name", None) or _called(function)),
        kind=kind,
        from_logits=bool(options.get("from_logits", False)),
        label_smoothing=float(options.get("label_smoothing") or 0.0),
        ignore_class=options.get("ignore_class"),
        sees_logits=looks_behind and any(function is known for known in CROSS_ENTROPIES),
        over_batch=over_batch,
        summed=getattr(loss, "reduction", None) == "sum",
        stretches=kind == "other" and isinstance(loss, keras.losses.Loss) and _stretches(loss),
    )


def _stretches(loss: Any) -> bool:
    """Whether five labels and five outputs in a column cost what all pairs of them do; tried without a trace."""
    labels = np.array([0.0, 1.0, 1.0, 0.0, 1.0], keras.config.floatx())
    outputs = np.linspace(0.1, 0.7, 5, dtype=labels.dtype)[:, None]

    def mean(y: np.ndarray, p: np.ndarray) -> float:
        with keras.StatelessScope():
            return float(np.mean(to_numpy(loss.call(*tensors((y, p))))))

    pairs = np.repeat(labels, 5)[:, None], np.tile(outputs, (5, 1))
    # Code of the user's, which may draw random numbers, or want other shapes.
    give_back = capture_random_state()
    try:
        tried = [
            attempt(functools.partial(mean, y, p))[0] for y, p in ((labels, outputs), pairs, (labels[:, None], outputs))
        ]
    finally:
        give_back()
    means = [np.nan if value is None else value for value in tried]
    flat_is_pairs, flat_is_column = (np.isclose(means[0], other, rtol=_ROUNDING) for other in means[1:])
    return bool(np.isfinite(means).all() and flat_is_pairs and not flat_is_column)


def _entry(given: Any, names: Sequence[Sequence[str]], place: int) -> Any:
    """What was given for one output: by name, in order, or the same for all."""
    if isinstance(given, dict):
        return next((given[name] for name in names[place] if name in given), None)
    if isinstance(given, (list, tuple)):
        return given[place] if len(given) == len(names) else None
    return given


def _read_metric(metric: Any) -> HeadMetric:
    if isinstance(metric, str):
        if metric.lower() in ("accuracy", "acc"):
            return HeadMetric(metric, "accuracy")
        if metric.lower() in _SHORT_NAMES:
            return HeadMetric(metric, "regression")
        # Not by `keras.metrics.get`, which makes variables. Strings like "binary_accuracy" stand for the class.
        camel = "".join(part.capitalize() for part in metric.split("_"))
        return HeadMetric(metric, _metric_kind(getattr(keras.metrics, metric, getattr(keras.metrics, camel, None))))
    options = getattr(metric, "_fn_kwargs", {})
    # AUC can take logits.
    kind = "other" if getattr(metric, "_from_logits", False) else _metric_kind(metric)
    name = str(getattr(metric, "name", None) or _called(metric))
    return HeadMetric(name, kind, threshold=float(options.get("threshold", 0.5)))


def _metric_kind(metric: Any) -> str:
    function = getattr(metric, "_fn", None)
    for known, kind in _METRIC_KINDS.items():
        if metric is known or type(metric) is known or function is known:
            return str(kind)
    return "other"


def _called(function: Any) -> str:
    return str(getattr(function, "__name__", type(function).__name__))
