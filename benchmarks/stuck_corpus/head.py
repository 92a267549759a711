"""Cases: the last layer, the loss, the labels and the metrics do not fit one another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from _case import LAYERS, Case, Run, adam, blobs, conv, dense, images, one_hot, repaired, sequences, sgd, values

BCE, CCE, SCCE = "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy"


def xor(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The four corners, 64 times."""
    x = rng.permutation(np.tile([[0, 0], [0, 1], [1, 0], [1, 1]], (64, 1)))
    return x.astype("float32"), (x[:, 0] ^ x[:, 1]).astype("float32")


def moons(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two half-moons, one inside the other."""
    y = rng.permutation(np.arange(512) % 2)
    angle = np.pi * rng.random(512)
    x = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    x = np.where(y[:, None] == 0, x, np.array([1.0, 0.5]) - x) + 0.1 * rng.normal(size=(512, 2))
    return x.astype("float32"), y


def _several(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Four columns of yes and no, most of them yes."""
    x = rng.normal(size=(512, 6)).astype("float32")
    return x, (x[:, :4] > -0.4).astype("float32")


def _lstm(activation: str) -> Callable[[], list[Any]]:
    return lambda: [keras.Input((10, 2)), LAYERS.LSTM(4), LAYERS.Dense(1, activation=activation)]


def _two_at_the_end(units: int, activation: str, second: type) -> Callable[[], list[Any]]:
    return lambda: [LAYERS.Dense(units, activation=activation), second()]


def _from_logits() -> Any:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _binary_from_logits() -> Any:
    return keras.losses.BinaryCrossentropy(from_logits=True)


def _images_one_hot(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x, y = images(10)(rng)
    return x, one_hot(10)(y)


_WIDE = Run(
    dense(128, 50, 50, head=(1, "softmax")),
    blobs(features=128),
    BCE,
    lambda: keras.optimizers.RMSprop(1e-3),
    "binary",
)
_XOR = Run(dense(2, 3, head=(1, "softmax"), activation="sigmoid"), xor, "mse", sgd(1e-3), "binary", epochs=20)
_BOOL = Run(
    dense(1, head=_two_at_the_end(1, "sigmoid", LAYERS.Softmax)),
    blobs(features=1, label=lambda classes: classes == 1),
    "mae",
    adam(),
    "binary",
)
_LSTM = Run(_lstm("softmax"), sequences(), BCE, lambda: keras.optimizers.Adagrad(0.1), "binary")
_RELU = Run(conv((10, "relu")), _images_one_hot, CCE, adam(0.003), epochs=25)
_LINEAR = Run(dense(2, 16, head=(1, None)), moons, BCE, sgd(0.5), "binary", epochs=15)
_ON_SOFTMAX = Run(dense(8, 16, head=(5, "softmax")), blobs(5), _from_logits, epochs=20)
_ON_SIGMOID = Run(dense(8, 16, head=(1, "sigmoid")), blobs(), _binary_from_logits, task="binary")
_TWICE = Run(dense(8, 16, head=_two_at_the_end(5, "softmax", LAYERS.Softmax)), blobs(5), SCCE, epochs=20)
_TWO_SIGMOIDS = Run(
    dense(8, 16, head=lambda: [LAYERS.Dense(1, activation="sigmoid"), LAYERS.Activation("sigmoid")]),
    blobs(),
    BCE,
    task="binary",
)
_FEW = Run(dense(8, 16, head=(3, "softmax")), blobs(5), SCCE)
_FROM_ONE = Run(dense(8, 16, head=(4, "softmax")), blobs(4, label=lambda c: c + 1), SCCE)
_ROWS = Run(dense(8, 16, head=(4, "softmax")), blobs(4, label=one_hot(4)), SCCE)
_NUMBERS = Run(dense(8, 16, head=(5, "softmax")), blobs(5, label=lambda c: c.reshape(-1, 1)), "mse")
_BOUNDED = Run(
    dense(4, 16, head=(1, "sigmoid")),
    values(change=lambda y: 10 + 4 * y),
    "mse",
    adam(0.03),
    "values",
    ("mae",),
    0.0,
    25,
)
_NEGATIVE = Run(
    dense(4, 16, head=(1, "relu")), values(change=lambda y: y - 2), "mse", adam(0.03), "values", ("mae",), 0.0, 20
)
_SOFTMAX_SEVERAL = Run(dense(6, 16, head=(4, "softmax")), _several, BCE, adam(), "multi-label", ("binary_accuracy",))
_SIGMOIDS = Run(dense(8, 16, head=(4, "sigmoid")), blobs(4, label=one_hot(4)), CCE)
_SQUARED = Run(dense(8, 16, head=(1, None)), blobs(5), "mse", task="binary")
_COLUMNS = Run(dense(6, 16, head=(4, "sigmoid")), _several, BCE, adam(), "multi-label")
_VALUES_RIGHT = Run(dense(4, 16, head=(1, None)), values(), "mse", adam(), "values")
_LOGITS_HALF = Run(
    dense(8, 16, head=(1, None)),
    blobs(),
    _binary_from_logits,
    task="binary",
    threshold=0.0,
    metrics=lambda: [keras.metrics.BinaryAccuracy(threshold=0.5)],
)
_EXACT = Run(dense(8, 16, head=(1, "sigmoid")), blobs(), BCE, task="binary", metrics=lambda: [keras.metrics.Accuracy()])

CASES = (
    Case(
        "softmax, 1 unit",
        "3",
        ("softmax-over-one-unit",),
        _WIDE,
        repaired(_WIDE, layers=dense(128, 50, 50, head=(1, "sigmoid"))),
    ),
    Case(
        "softmax, 1 unit, XOR, squared error",
        "4",
        ("softmax-over-one-unit",),
        _XOR,
        repaired(_XOR, layers=dense(2, 8, head=(1, "sigmoid"), activation="tanh"), optimizer=adam(0.05)),
    ),
    Case(
        "sigmoid, then softmax, 1 unit",
        "5",
        ("softmax-over-one-unit",),
        _BOOL,
        repaired(_BOOL, layers=dense(1, head=(1, "sigmoid")), loss=BCE),
    ),
    Case("LSTM, softmax, 1 unit", "20", ("softmax-over-one-unit",), _LSTM, repaired(_LSTM, layers=_lstm("sigmoid"))),
    Case(
        "relu as a classifier's output",
        "6",
        ("cross-entropy-without-activation",),
        _RELU,
        repaired(_RELU, layers=conv((10, "softmax"))),
        lottery=True,
    ),
    Case(
        "no activation before a cross-entropy",
        "cause",
        ("cross-entropy-without-activation",),
        _LINEAR,
        repaired(_LINEAR, layers=dense(2, 16, head=(1, "sigmoid"))),
        lottery=True,
    ),
    Case(
        "from_logits on a softmax",
        "25",
        ("from-logits-on-probabilities",),
        _ON_SOFTMAX,
        repaired(_ON_SOFTMAX, loss=SCCE),
    ),
    Case(
        "from_logits on a sigmoid",
        "cause",
        ("from-logits-on-probabilities",),
        _ON_SIGMOID,
        repaired(_ON_SIGMOID, loss=BCE),
    ),
    Case(
        "softmax twice",
        "cause",
        ("double-activation",),
        _TWICE,
        repaired(_TWICE, layers=dense(8, 16, head=(5, "softmax"))),
    ),
    Case(
        "sigmoid twice",
        "cause",
        ("double-activation",),
        _TWO_SIGMOIDS,
        repaired(_TWO_SIGMOIDS, layers=dense(8, 16, head=(1, "sigmoid"))),
    ),
    Case(
        "fewer units than classes",
        "cause",
        ("fewer-units-than-classes",),
        _FEW,
        repaired(_FEW, layers=dense(8, 16, head=(5, "softmax"))),
    ),
    Case(
        "classes counted from 1", "cause", ("fewer-units-than-classes",), _FROM_ONE, repaired(_FROM_ONE, data=blobs(4))
    ),
    Case("one-hot rows, sparse loss", "cause", ("one-hot-labels-with-sparse-loss",), _ROWS, repaired(_ROWS, loss=CCE)),
    Case(
        "class numbers against 5 units",
        "cause",
        ("class-numbers-with-one-hot-loss", "regression-loss-on-classes"),
        _NUMBERS,
        repaired(_NUMBERS, loss=SCCE),
    ),
    Case(
        "sigmoid, targets up to 20",
        "cause",
        ("bounded-output-cannot-reach-targets",),
        _BOUNDED,
        repaired(_BOUNDED, layers=dense(4, 16, head=(1, None))),
    ),
    Case(
        "relu, negative targets",
        "cause",
        ("bounded-output-cannot-reach-targets",),
        _NEGATIVE,
        repaired(_NEGATIVE, layers=dense(4, 16, head=(1, None))),
    ),
    Case(
        "softmax for several labels",
        "cause",
        ("activation-does-not-match-loss",),
        _SOFTMAX_SEVERAL,
        repaired(_SOFTMAX_SEVERAL, layers=dense(6, 16, head=(4, "sigmoid"))),
    ),
    Case(
        "sigmoids for one class of several",
        "15",
        ("activation-does-not-match-loss",),
        _SIGMOIDS,
        repaired(_SIGMOIDS, layers=dense(8, 16, head=(4, "softmax"))),
    ),
    Case(
        "squared error on class numbers",
        "5",
        ("regression-loss-on-classes",),
        _SQUARED,
        repaired(_SQUARED, layers=dense(8, 16, head=(5, "softmax")), loss=SCCE, task="classes"),
    ),
    Case(
        "accuracy of several labels",
        "cause",
        ("metric-misreads-output",),
        _COLUMNS,
        repaired(_COLUMNS, metrics=("binary_accuracy",)),
    ),
    Case(
        "accuracy of values",
        "cause",
        ("metric-misreads-output",),
        _VALUES_RIGHT,
        repaired(_VALUES_RIGHT, metrics=("mae",)),
    ),
    Case(
        "threshold 0.5 on logits",
        "cause",
        ("metric-misreads-output",),
        _LOGITS_HALF,
        repaired(_LOGITS_HALF, metrics=lambda: [keras.metrics.BinaryAccuracy(threshold=0.0)]),
    ),
    Case(
        "answers equal to the last bit",
        "cause",
        ("metric-misreads-output",),
        _EXACT,
        repaired(_EXACT, metrics=("accuracy",)),
    ),
)
