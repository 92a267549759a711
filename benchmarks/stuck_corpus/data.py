"""Cases: the inputs and the labels themselves."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from _case import LAYERS, Case, Run, adam, blobs, conv, dense, images, repaired, sequences, sgd, values
from head import BCE, SCCE

Data = Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]


def _spoiled(data: Data, value: float, labels: bool = False) -> Data:
    """With a value that is not a number in 2 % of the samples."""

    def spoiled(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = (array.astype("float32") for array in data(rng))
        (y if labels else x)[rng.choice(len(x), len(x) // 50, replace=False)] = value
        return x, y

    return spoiled


def in_order(data: Data) -> Data:
    """Sorted by class."""

    def ordered(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = data(rng)
        order = np.argsort(y, kind="stable")
        return x[order], y[order]

    return ordered


def _read_again(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same sample again and again."""
    x, y = blobs()(rng)
    return np.repeat(x[:1], len(x), axis=0), y


def _numbers(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers up to 100000, and whether they are in the upper half."""
    x = rng.integers(0, 100_000, size=(512, 3))
    return x.astype("float32"), (x[:, 0] > 50_000).astype("float32")


def _standardised(data: Data) -> Data:
    def scaled(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = data(rng)
        return ((x - x.mean(axis=0)) / x.std(axis=0)).astype("float32"), y

    return scaled


def _odd_even(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = rng.integers(1, 100_000, size=(512, 1))
    return x.astype("float32"), np.where(x[:, 0] % 2, 2.0, 4.0).astype("float32")


def _bits(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The same numbers as bits, and labels 0 and 1."""
    x, y = _odd_even(rng)
    return (x.astype(int) >> np.arange(17) & 1).astype("float32"), (y == 4).astype("float32")


def _column_lost(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers of three columns, whose third, lost here, decides."""
    x, y = _three_columns(rng)
    return x[:, :2], y


def _three_columns(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = rng.integers(0, 3, size=(512, 3)).astype("float32")
    return x, (x[:, 2] > 0).astype("float32")


def _pixels_vector(largest: float) -> Data:
    def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = images(10, 512, largest=largest)(rng)
        return x.reshape(len(x), -1), np.eye(10, dtype="float32")[y]

    return data


def _unrelated(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return rng.random((1024, 8, 8, 1)).astype("float32"), (rng.random(1024) < 0.45).astype(int)


_UNRELATED = Run(conv((2, "softmax")), _unrelated, SCCE, adam(1e-4), epochs=5)
_HEAD = dense(8, 16, head=(1, "sigmoid"))
_BINARY = Run(_HEAD, blobs(), BCE, task="binary")
_NINE = repaired(_BINARY, layers=dense(8, 16, head=(1, "sigmoid")), data=blobs(10))
_PARITY = Run(
    lambda: [
        keras.Input((1,)),
        LAYERS.Dense(2, activation="relu"),
        LAYERS.BatchNormalization(),
        LAYERS.Dense(1, activation="sigmoid"),
    ],
    _odd_even,
    BCE,
    task="binary",
)
_THIRDS = Run(dense(8, 16, head=(4, "softmax")), blobs(4, label=lambda c: c / 4), SCCE)
_SORTED = repaired(_BINARY, data=in_order(blobs()), optimizer=sgd(0.3), shuffle=False)
_RAW = Run(dense(3, 5, head=(1, "relu")), _numbers, BCE, adam(1e-3), "binary")
_RAW_PIXELS = Run(
    dense(64, 50, head=(10, "sigmoid")), _pixels_vector(255.0), "categorical_crossentropy", sgd(1e-4), epochs=15
)
_TARGETS = Run(
    dense(4, 16, head=(1, None)),
    values(change=lambda y: 1000 + 300 * y),
    "mse",
    adam(1e-3),
    "values",
    ("mae",),
    epochs=12,
)
_RARE = repaired(_BINARY, data=blobs(shares=(0.97, 0.03), apart=0.5), optimizer=sgd(0.05))
_RANDOM_LSTM = Run(
    lambda: [keras.Input((10, 2)), LAYERS.LSTM(4), LAYERS.Dense(1, activation="sigmoid")],
    sequences(1024, signal=False),
    BCE,
    adam(1e-3),
    "binary",
    epochs=5,
)
_LOST = Run(dense(2, 16, head=(1, "sigmoid")), _column_lost, BCE, adam(), "binary")

CASES = (
    Case(
        "labels 0 to 9, one sigmoid",
        "21",
        ("labels-outside-range",),
        _NINE,
        repaired(_NINE, layers=dense(8, 16, head=(10, "softmax")), loss=SCCE, task="classes"),
    ),
    Case(
        "labels 2 and 4, raw numbers",
        "22",
        ("labels-outside-range",),
        _PARITY,
        repaired(_PARITY, layers=dense(17, 8, head=(1, "sigmoid")), data=_bits),
    ),
    Case(
        "labels -1 and 1",
        "cause",
        ("labels-outside-range",),
        repaired(_BINARY, data=blobs(label=lambda c: 2 * c - 1)),
        _BINARY,
    ),
    Case(
        "labels divided by 255",
        "cause",
        ("labels-outside-range",),
        repaired(_BINARY, data=blobs(label=lambda c: c / 255)),
        _BINARY,
    ),
    Case(
        "class numbers divided by their number",
        "cause",
        ("labels-not-whole-numbers",),
        _THIRDS,
        repaired(_THIRDS, data=blobs(4)),
    ),
    Case(
        "NaN in the inputs", "cause", ("non-finite-inputs",), repaired(_BINARY, data=_spoiled(blobs(), np.nan)), _BINARY
    ),
    Case(
        "infinity in the inputs",
        "cause",
        ("non-finite-inputs",),
        repaired(_BINARY, data=_spoiled(blobs(), np.inf)),
        _BINARY,
    ),
    Case(
        "NaN in the labels",
        "cause",
        ("non-finite-labels",),
        repaired(_TARGETS, data=_spoiled(values(), np.nan, labels=True)),
        repaired(_TARGETS, data=values(), optimizer=adam()),
    ),
    Case(
        "one sample, read again and again", "cause", ("constant-inputs",), repaired(_BINARY, data=_read_again), _BINARY
    ),
    Case(
        "labels all the same",
        "cause",
        ("constant-labels",),
        repaired(_BINARY, data=blobs(label=lambda c: 0 * c)),
        _BINARY,
    ),
    Case(
        "classes in order, no shuffle",
        "cause",
        ("classes-in-order", "one-class-at-a-time"),
        _SORTED,
        repaired(_SORTED, shuffle=True),
    ),
    Case(
        "a column lost",
        "cause",
        ("contradicting-labels", "no-signal-found"),
        _LOST,
        repaired(_LOST, layers=dense(3, 16, head=(1, "sigmoid")), data=_three_columns),
    ),
    Case(
        "raw numbers, all relu",
        "7",
        ("cross-entropy-without-activation", "input-scale", "dead-layer", "saturated-clipped-loss"),
        _RAW,
        repaired(_RAW, layers=dense(3, 5, head=(1, "sigmoid")), data=_standardised(_numbers), optimizer=adam(0.03)),
    ),
    Case(
        "raw pixels, sigmoids, tiny rate",
        "15",
        ("input-scale", "activation-does-not-match-loss", "rate-too-low"),
        _RAW_PIXELS,
        repaired(_RAW_PIXELS, layers=dense(64, 50, head=(10, "softmax")), data=_pixels_vector(1.0), optimizer=adam()),
    ),
    Case(
        "targets around 1000", "cause", ("target-scale",), _TARGETS, repaired(_TARGETS, data=values(), optimizer=adam())
    ),
    Case("97/3, answers one class", "cause", ("class-imbalance",), _RARE, repaired(_RARE, data=blobs(apart=2.0))),
    Case(
        "labels that know nothing of the inputs",
        "19",
        ("no-signal-found",),
        _RANDOM_LSTM,
        repaired(_RANDOM_LSTM, data=sequences(), optimizer=adam()),
    ),
    Case(
        "55/45 without a signal, images",
        "18",
        ("no-signal-found",),
        _UNRELATED,
        repaired(_UNRELATED, data=images(2), optimizer=adam(3e-3), epochs=12),
    ),
)
