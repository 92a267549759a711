"""Cases: the data teach nothing, whatever the layers and the rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from _case import LAYERS, Case, Run, adam, blobs, dense, needle, one_hot, repaired, sequences
from head import BCE, CCE, SCCE

_HEAD = (1, "sigmoid")
# Untrained networks know nothing of its classes.
_PLAIN = Run(dense(200, 16, head=_HEAD), needle(), BCE, task="binary")


def _own(change: Callable[[Any], Any]) -> Callable[[], Any]:
    """Makes a squared error of changed outputs."""

    def squared(y: Any, p: Any) -> Any:
        return keras.ops.mean(keras.ops.square(keras.ops.cast(y, p.dtype) - keras.ops.reshape(change(p), y.shape)))

    return lambda: squared


def _turned(y: Any, p: Any) -> Any:
    return -keras.losses.binary_crossentropy(y, p)


def _upright(y: Any, p: Any) -> Any:
    return keras.losses.binary_crossentropy(y, p)


def _weights(weight: float) -> Callable[[Any], dict[str, Any]]:
    return lambda y: {"sample_weight": np.full(len(y), weight, "float32")}


def _penalised(strength: float) -> Callable[[], list[Any]]:
    return lambda: [
        keras.Input((200,)),
        *(
            LAYERS.Dense(units, activation, kernel_regularizer=keras.regularizers.L2(strength))
            for units, activation in ((32, "relu"), (32, "relu"), _HEAD)
        ),
    ]


def _dropping(rate: float) -> Callable[[], list[Any]]:
    return lambda: [
        keras.Input((200,)),
        LAYERS.Dense(64, activation="relu"),
        LAYERS.Dropout(rate),
        LAYERS.Dense(1, activation="sigmoid"),
    ]


def _softmax(axis: int) -> Callable[[], list[Any]]:
    return lambda: [LAYERS.Dense(4), LAYERS.Softmax(axis=axis)]


def _over(axis: int) -> Callable[[], Any]:
    return lambda: keras.losses.CategoricalCrossentropy(axis=axis)


def _words(padding_only: bool) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """Five words a sample, the first of which tells the class; a tenth of the samples has padding only, or one word."""

    def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        words = rng.integers(1, 20, size=(512, 5))
        classes = (words[:, 0] > 9).astype(int)
        words[::10, 1:] = 0
        if padding_only:
            words[::10] = 0
        return words, classes

    return data


def _masked() -> list[Any]:
    return [
        keras.Input((5,)),
        LAYERS.Embedding(20, 8, mask_zero=True),
        LAYERS.GlobalAveragePooling1D(),
        LAYERS.Dense(1, activation="sigmoid"),
    ]


def _recurrent(steps: bool, activation: str | None = "sigmoid") -> Callable[[], list[Any]]:
    return lambda: [keras.Input((10, 2)), LAYERS.SimpleRNN(8, return_sequences=steps), LAYERS.Dense(1, activation)]


def _sums(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences, and their sum over time of the first feature, one number a sample."""
    x = rng.normal(size=(512, 10, 2))
    return x.astype("float32"), (x[:, :, 0].sum(axis=1, keepdims=True) / 3.0).astype("float32")


_CLASSES = Run(dense(8, 16, head=_softmax(0)), blobs(4, label=one_hot(4)), CCE)
_VALUES = Run(_recurrent(True, None), _sums, "mse", adam(), "values", ("mae",), 0.0, 20)
_ROUNDED = repaired(_PLAIN, loss=_own(keras.ops.round))

CASES = (
    Case(
        "sample weights of 0",
        "cause",
        ("zero-sample-weights",),
        repaired(_PLAIN, fit=_weights(0.0)),
        repaired(_PLAIN, fit=_weights(1.0)),
    ),
    Case(
        "class weights of 0",
        "cause",
        ("zero-sample-weights",),
        repaired(_PLAIN, fit=lambda y: {"class_weight": {0: 0.0, 1: 0.0}}),
        repaired(_PLAIN, fit=lambda y: {"class_weight": {0: 1.0, 1: 2.0}}),
    ),
    Case(
        "a penalty of 10",
        "cause",
        ("penalty-dominates-loss",),
        repaired(_PLAIN, layers=_penalised(10.0), epochs=25),
        repaired(_PLAIN, layers=_penalised(1e-4)),
    ),
    Case(
        "a loss that rounds",
        "cause",
        ("loss-without-slope",),
        _ROUNDED,
        repaired(_ROUNDED, loss=_own(lambda p: p), optimizer=adam(0.03)),
    ),
    Case(
        "a loss of signs",
        "cause",
        ("loss-without-slope",),
        repaired(_ROUNDED, loss=_own(keras.ops.sign)),
        None,
    ),
    Case(
        "a likelihood for a loss",
        "cause",
        ("loss-rewards-wrong-answers",),
        repaired(_PLAIN, loss=lambda: _turned),
        repaired(_PLAIN, loss=lambda: _upright),
    ),
    Case(
        "dropout of 0.999",
        "cause",
        ("dropout-leaves-nothing",),
        repaired(_PLAIN, layers=_dropping(0.999)),
        repaired(_PLAIN, layers=_dropping(0.5)),
        lottery=True,
    ),
    Case(
        "a softmax over the batch",
        "cause",
        ("samples-mixed",),
        _CLASSES,
        repaired(_CLASSES, layers=dense(8, 16, head=_softmax(-1))),
    ),
    Case(
        "a loss over the batch",
        "cause",
        ("samples-mixed",),
        repaired(_CLASSES, layers=dense(8, 16, head=(4, "softmax")), loss=_over(0)),
        repaired(_CLASSES, layers=dense(8, 16, head=(4, "softmax")), loss=_over(-1)),
    ),
    Case(
        "samples of padding only",
        "cause",
        ("all-steps-masked",),
        Run(_masked, _words(True), "mse", task="binary"),
        Run(_masked, _words(False), "mse", task="binary"),
    ),
    Case(
        "an answer at every step, one label",
        "cause",
        ("fit-fails",),
        Run(_recurrent(True), sequences(), SCCE, task="binary"),
        Run(_recurrent(False), sequences(), BCE, task="binary"),
    ),
    Case(
        "a value at every step, one label",
        "cause",
        ("shapes-stretched",),
        repaired(_VALUES, data=lambda rng: (lambda x, y: (x, y[:, None]))(*_sums(rng))),
        repaired(_VALUES, layers=_recurrent(False, None)),
        lottery=True,
    ),
)
