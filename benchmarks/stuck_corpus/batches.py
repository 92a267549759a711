"""Cases: how the samples come to the loss (batches, weights, the split), and what the loss makes of a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from _case import LAYERS, Batches, Case, Run, adam, blobs, dense, needle, one_hot, repaired, sgd, values
from data import in_order
from head import BCE, CCE, SCCE

Data = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


class FirstBatch(Batches):
    """Forgets to use the number of the batch."""

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return super().__getitem__(0)


class OwnSquare(keras.losses.Loss):
    """A squared error by hand; Keras makes shapes alike for functions only."""

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """As anybody would write it."""
        return keras.ops.mean(keras.ops.square(y_pred - keras.ops.cast(y_true, y_pred.dtype)), axis=-1)


def _two_bad(data: Data) -> Data:
    """With a NaN in two of the samples, the last ones but ten."""

    def bad(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = data(rng)
        x[[-11, -12], 0] = np.nan
        return x, y

    return bad


def _lost_column(classes: np.ndarray) -> np.ndarray:
    return one_hot(5)(classes)[:, :4]


def _flat(data: Data) -> Data:
    def flat(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = data(rng)
        return x, y.reshape(-1)

    return flat


def _tags(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of ten steps, each with the number of the largest of its first three features as label."""
    x = rng.normal(size=(256, 10, 4)).astype("float32")
    return x, x[..., :3].argmax(axis=-1)[..., None]


def _tagger(axis: int) -> Callable[[], list[Any]]:
    return lambda: [
        keras.Input((10, 4)),
        LAYERS.Dense(16, activation="relu"),
        LAYERS.Dense(3),
        LAYERS.Softmax(axis=axis),
    ]


def _only_first(labels: np.ndarray) -> dict[str, Any]:
    return {"class_weight": {c: float(c == 0) for c in np.unique(labels)}}


def _split(labels: np.ndarray) -> dict[str, Any]:
    return {"validation_split": 0.2}


_BINARY = Run(dense(8, 16, head=(1, "sigmoid")), blobs(num_samples=2048), BCE, task="binary")
_NEEDLE = Run(dense(200, 16, head=(1, "sigmoid")), needle(), BCE, task="binary", batches=FirstBatch)
_FIVE = Run(dense(8, 16, head=(5, "softmax")), blobs(5), SCCE)
_ROWS = Run(dense(8, 16, head=(4, "softmax")), blobs(5, label=_lost_column), CCE)
_SUM = Run(
    dense(4, 32, head=(1, None)),
    values(),
    lambda: keras.losses.MeanSquaredError(reduction="sum"),
    sgd(0.1),
    "values",
    ("mae",),
)
_OWN = Run(dense(4, 16, head=(1, None)), _flat(values()), OwnSquare, adam(), "values", ("mae",))
_TAGS = Run(_tagger(1), _tags, SCCE)

CASES = (
    Case(
        "NaN in two of 2048 samples",
        "cause",
        ("non-finite-inputs",),
        repaired(_BINARY, data=_two_bad(_BINARY.data)),
        _BINARY,
    ),
    Case(
        "the first batch, again and again",
        "cause",
        ("same-batch-again",),
        _NEEDLE,
        repaired(_NEEDLE, batches=Batches, shuffle=False),
    ),
    Case("all weight on one class", "cause", ("zero-sample-weights",), repaired(_FIVE, fit=_only_first), _FIVE),
    Case(
        "classes in order, the last fifth for validation",
        "cause",
        ("validation-at-chance",),
        repaired(_FIVE, data=in_order(_FIVE.data), fit=_split),
        repaired(_FIVE, fit=_split),
    ),
    Case(
        "a column of one-hot rows lost",
        "cause",
        ("labels-outside-range",),
        _ROWS,
        repaired(_ROWS, layers=dense(8, 16, head=(5, "softmax")), data=blobs(5, label=one_hot(5))),
    ),
    Case("a loss added up over the batch", "cause", ("loss-summed",), _SUM, repaired(_SUM, loss="mse"), lottery=True),
    Case(
        "an own loss, (n,) against (n, 1)",
        "cause",
        ("shapes-stretched",),
        _OWN,
        repaired(_OWN, data=values()),
    ),
    Case("softmax over the steps", "cause", ("softmax-over-other-axis",), _TAGS, repaired(_TAGS, layers=_tagger(-1))),
)
