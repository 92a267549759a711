"""Cases: something in the layers, seen in the first pass or when units die."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from _case import LAYERS, Case, Run, adam, blobs, dense, images, needle, parity, repaired, sgd
from head import BCE, SCCE

# A layer in between gives the same for every sample.
_DEAD = ("dead-layer", "output-ignores-input")


def _line(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Seven points of y = 2x - 1."""
    x = np.arange(1, 8, dtype="float32").reshape(-1, 1)
    return x, 2 * x - 1


def _codes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """All numbers of 8 bits, and those of a permutation of them."""
    codes = (np.arange(256)[:, None] >> np.arange(8) & 1).astype("float32")
    return codes, codes[rng.permutation(256)]


def _flat(data: Callable[..., Any]) -> Callable[..., Any]:
    def flat(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = data(rng)
        return x.reshape(len(x), -1), y

    return flat


def _parabola(rng: np.random.Generator, widest: float) -> tuple[np.ndarray, np.ndarray]:
    x = rng.uniform(-widest, widest, size=(512, 1))
    return x.astype("float32"), (5 * x**2 + rng.normal(size=x.shape)).astype("float32")


def _with(
    make: Callable[[], Any], *, units: int = 16, head: Callable[[], Any] | None = None
) -> Callable[[], list[Any]]:
    """8 features, a hidden layer, one more layer, and a sigmoid."""
    return lambda: [
        keras.Input((8,)),
        LAYERS.Dense(units, activation="relu"),
        make(),
        (head or (lambda: LAYERS.Dense(1, activation="sigmoid")))(),
    ]


def _batch_normalised(momentum: float) -> Callable[[], list[Any]]:
    return lambda: [
        keras.Input((8,)),
        LAYERS.BatchNormalization(momentum=momentum),
        LAYERS.Dense(16, activation="relu"),
        LAYERS.Dense(1, activation="sigmoid"),
    ]


def _fixed(layers: Callable[[], list[Any]]) -> Callable[[], Any]:
    def model() -> Any:
        made = keras.Sequential(layers())
        made.trainable = False
        return made

    return model


@keras.saving.register_keras_serializable("stuck_corpus")
class Cut(keras.layers.Layer):
    """Lets values through, and no gradient."""

    def call(self, inputs: Any) -> Any:
        """The inputs."""
        return keras.ops.stop_gradient(inputs)


@keras.saving.register_keras_serializable("stuck_corpus")
class Log(keras.layers.Layer):
    """The logarithm, also of what is not positive."""

    def __init__(self, shift: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shift = shift

    def call(self, inputs: Any) -> Any:
        """Element by element."""
        return keras.ops.log(inputs + self.shift)


def _all_one() -> list[Any]:
    return [LAYERS.Dense(1, activation="sigmoid", kernel_initializer="ones")]


def _sure() -> list[Any]:
    return [LAYERS.Dense(5, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=5.0))]


_HEAD = (1, "sigmoid")
_PLAIN = Run(dense(8, 16, head=_HEAD), blobs(), BCE, task="binary")
_LINE = Run(dense(1, 4, 2, head=(1, "relu")), _line, "mse", adam(), "values", ("mae",), epochs=80, batch_size=7)
_DEEP = Run(dense(64, *[16] * 33, head=(10, "softmax")), _flat(images(10, 512)), SCCE, adam(1e-3), epochs=20)
_CODES = Run(
    dense(8, 8, 8, head=(8, "sigmoid"), activation="sigmoid"),
    _codes,
    "mse",
    sgd(0.01),
    "multi-label",
    ("binary_accuracy",),
    epochs=20,
)
_SIGMOIDS = repaired(
    _PLAIN, layers=dense(8, *[16] * 8, head=_HEAD, activation="sigmoid"), optimizer=sgd(0.1), epochs=20
)
_SURE = Run(dense(8, 16, head=_sure), blobs(5), SCCE, adam(0.001), epochs=8)
_NEEDLE = Run(dense(200, 16, head=_HEAD), needle(), BCE, adam(), "binary")
_SAME = Run(dense(2, 8, head=_HEAD, activation="tanh"), parity(2), BCE, adam(0.03), "binary", epochs=15)
_NORMALISED = repaired(
    _PLAIN,
    layers=_batch_normalised(0.999),
    optimizer=adam(0.01),
    data=blobs(offset=20.0),
    batch_size=64,
    epochs=8,
    validation=blobs(offset=20.0),
)

CASES = (
    Case(
        "a line, all relu",
        "8",
        _DEAD,
        _LINE,
        repaired(_LINE, layers=dense(1, 8, 8, head=(1, None), activation="tanh")),
        lottery=True,
    ),
    Case(
        "34 relu layers",
        "11",
        (*_DEAD, "vanishing-gradient"),
        _DEEP,
        repaired(_DEEP, layers=dense(64, 16, 16, head=(10, "softmax")), optimizer=adam(3e-3)),
        lottery=True,
    ),
    Case(
        "three sigmoid layers, 8-bit codes",
        "16",
        ("vanishing-gradient", "rate-too-low"),
        _CODES,
        repaired(_CODES, layers=dense(8, 64, 64, head=(8, "sigmoid")), optimizer=adam()),
    ),
    Case(
        "eight sigmoid layers",
        "cause",
        ("vanishing-gradient",),
        _SIGMOIDS,
        repaired(_SIGMOIDS, layers=dense(8, *[16] * 8, head=_HEAD, kernel_initializer="he_normal")),
    ),
    Case(
        "all weights the same",
        "cause",
        ("symmetric-weights",),
        repaired(_SAME, layers=dense(2, 8, head=_all_one, activation="tanh", kernel_initializer="ones")),
        _SAME,
    ),
    Case(
        "all weights zero",
        "cause",
        ("symmetric-weights", "dead-layer", "constant-output"),
        repaired(_PLAIN, layers=dense(8, 16, 16, head=_HEAD, kernel_initializer="zeros")),
        repaired(_PLAIN, layers=dense(8, 16, 16, head=_HEAD)),
    ),
    Case(
        "a layer dead from the start",
        "cause",
        _DEAD,
        repaired(_PLAIN, layers=dense(8, 16, 16, head=_HEAD, bias_initializer=keras.initializers.Constant(-50.0))),
        _PLAIN,
    ),
    Case(
        "most units dead",
        "cause",
        ("dead-units", *_DEAD),
        repaired(
            _PLAIN,
            layers=dense(8, 64, head=_HEAD, bias_initializer=keras.initializers.Constant(-2.0)),
            optimizer=sgd(0.01),
        ),
        repaired(_PLAIN, layers=dense(8, 64, head=_HEAD)),
    ),
    Case(
        "tanh on inputs of 100000",
        "cause",
        ("saturated-layer", "input-scale"),
        repaired(
            _PLAIN,
            layers=dense(8, 16, 16, head=_HEAD, activation="tanh"),
            data=blobs(scale=1e5),
        ),
        repaired(_PLAIN, layers=dense(8, 16, 16, head=_HEAD, activation="tanh")),
    ),
    Case(
        "normalised over one unit",
        "cause",
        ("constant-output",),
        repaired(
            _PLAIN,
            layers=lambda: [
                keras.Input((8,)),
                LAYERS.Dense(16, activation="relu"),
                LAYERS.Dense(1),
                LAYERS.LayerNormalization(),
                LAYERS.Activation("sigmoid"),
            ],
        ),
        _PLAIN,
    ),
    Case(
        "everything is fixed",
        "cause",
        ("no-trainable-weights",),
        repaired(_NEEDLE, layers=_fixed(dense(200, 16, head=_HEAD))),
        _NEEDLE,
    ),
    Case(
        "the gradient is cut",
        "cause",
        ("unconnected-weights",),
        repaired(
            _PLAIN,
            layers=lambda: [
                keras.Input((8,)),
                LAYERS.Dense(16, activation="relu"),
                LAYERS.Dense(1, activation="sigmoid"),
                Cut(),
            ],
        ),
        _PLAIN,
    ),
    Case(
        "logarithm of what is not positive",
        "cause",
        ("non-finite-first-pass",),
        repaired(_PLAIN, layers=_with(Log)),
        repaired(_PLAIN, layers=_with(lambda: Log(1.0))),
    ),
    Case(
        "a last layer that is sure, and wrong",
        "cause",
        ("initial-loss-far-above-chance", "saturated-output"),
        _SURE,
        repaired(_SURE, layers=dense(8, 16, head=(5, "softmax")), optimizer=adam(0.01)),
    ),
    Case(
        "steps longer than the weights",
        "14",
        ("exploding-gradient", "diverged", "rate-too-high", "target-scale", "input-scale"),
        Run(
            dense(1, 50, 30, head=(1, None)),
            lambda rng: _parabola(rng, 20.0),
            "mse",
            sgd(0.1),
            "values",
            ("mae",),
            epochs=6,
        ),
        Run(
            dense(1, 50, 30, head=(1, None)),
            lambda rng: _parabola(rng, 1.0),
            "mse",
            sgd(0.02),
            "values",
            ("mae",),
            epochs=20,
        ),
    ),
    Case(
        "BatchNormalization that follows slowly",
        "cause",
        ("train-and-inference-disagree", "validation-at-chance"),
        _NORMALISED,
        repaired(_NORMALISED, layers=_batch_normalised(0.8), validation=None),
    ),
)
