"""Cases: what goes wrong on the way, by the learning rate, by chance, or because there is nothing wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from _case import LAYERS, Case, Run, adam, blobs, conv, dense, images, needle, one_hot, repaired, sgd
from head import BCE, SCCE, xor

import keras_clr

_CLIPPED = ("saturated-clipped-loss", "saturated-output")


def _pixels(largest: float) -> Callable[..., Any]:
    """Grey images with one red or green pixel, labelled by it; three columns for two classes."""

    def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        classes = rng.permutation(np.arange(300) % 2)
        x = np.full((300, 16, 16, 3), largest / 2, "float32")
        for image, colour, (row, column) in zip(x, classes, rng.integers(0, 16, size=(300, 2)), strict=True):
            image[row, column] = 0.0
            image[row, column, colour] = largest
        return x, one_hot(3)(classes)

    return data


def _pixel_net(head: Callable[[], list[Any]]) -> Callable[[], list[Any]]:
    return lambda: [
        keras.Input((16, 16, 3)),
        LAYERS.Dense(16, activation="relu"),
        LAYERS.Dropout(0.4),
        LAYERS.Flatten(),
        *head(),
    ]


def _hidden_softmax() -> list[Any]:
    # The Reshape hides the logits from the loss on TensorFlow, too.
    return [LAYERS.Dense(3, activation="softmax"), LAYERS.Reshape((3,))]


def _hidden_sigmoid(rescale: bool) -> Callable[[], list[Any]]:
    first = (lambda: LAYERS.Rescaling(1 / 255.0),) if rescale else ()
    return lambda: [*conv((1, "sigmoid"), first=first)(), LAYERS.Reshape((1,))]


def _logits() -> Any:
    return keras.losses.CategoricalCrossentropy(from_logits=True)


def _unlike(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Samples that learn by heart only: labels know nothing of the inputs."""
    return rng.normal(size=(96, 64)).astype("float32"), rng.permutation(np.arange(96) % 2)


def _signal(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = rng.normal(size=(512, 64))
    return x.astype("float32"), (x[:, 0] > 0).astype(int)


def _many_classes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return blobs(10, 2000, features=50)(rng)


def _ran_out() -> Any:
    return keras.optimizers.schedules.PiecewiseConstantDecay([1], [1e-4, 0.0])


def _flat_pixels(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    classes = rng.permutation(np.arange(512) % 2)
    x = rng.integers(0, 100, size=(512, 192)) + 60 * classes[:, None]
    return x.astype("float32"), classes


def _parabola(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    x = rng.uniform(-1, 1, size=(512, 1)) * 3
    return x.astype("float32"), (5 * x**2 + rng.normal(size=x.shape)).astype("float32")


def _jump() -> Any:
    """After six epochs the rate is 10."""

    def begin(epoch: int, logs: Any = None) -> None:
        if epoch == 6:
            callback.model.optimizer.learning_rate = 10.0

    callback = keras.callbacks.LambdaCallback(on_epoch_begin=begin)
    return callback


def _fresh(data: Callable[..., Any]) -> Callable[..., Any]:
    """Other samples of the same kind."""
    return lambda rng: data(np.random.default_rng(rng.integers(1 << 31)))


_RED_GREEN = Run(
    _pixel_net(_hidden_softmax), _pixels(255.0), "categorical_crossentropy", adam(3e-4), epochs=12, batch_size=15
)
_CNN = Run(_hidden_sigmoid(False), images(largest=255.0), BCE, adam(0.03), "binary", epochs=12)
_NET = Run(dense(8, 16, head=(1, "sigmoid")), blobs(), BCE, task="binary")
_HIGH = Run(conv((4, "softmax")), images(4), SCCE, adam(1.0), epochs=12)
_NEEDLE = Run(dense(200, 16, head=(1, "sigmoid")), needle(), BCE, task="binary")
_LOW = repaired(_NEEDLE, optimizer=sgd(1e-6))
_DELTA = Run(
    dense(192, 64, 64, 64, head=(1, "sigmoid")),
    _flat_pixels,
    "mse",
    lambda: keras.optimizers.Adadelta(1e-6),
    "binary",
)
_XOR_SMALL = Run(
    dense(2, 2, head=(1, "sigmoid"), activation="sigmoid"), xor, "mse", sgd(0.5), "binary", epochs=30, batch_size=4
)
_SLOW = Run(dense(50, 60, head=(10, "softmax")), _many_classes, SCCE, sgd(0.01, 0.9), epochs=5, batch_size=1000)
_SHRUNK = repaired(
    _NEEDLE,
    optimizer=sgd(1e-6),
    callbacks=lambda: [keras_clr.CyclicLR(1e-6, 1e-2, 1, mode="triangular2")],
)
_BY_HEART = Run(
    dense(64, 64, head=(1, "sigmoid")),
    _unlike,
    BCE,
    adam(),
    "binary",
    epochs=12,
    batch_size=16,
    validation=_fresh(_unlike),
)


CASES = (
    Case(
        "the red and green pixel",
        "1",
        _CLIPPED,
        _RED_GREEN,
        repaired(
            _RED_GREEN,
            layers=_pixel_net(lambda: [LAYERS.Dense(3)]),
            loss=_logits,
            data=_pixels(1.0),
            optimizer=adam(3e-3),
            epochs=25,
        ),
        lottery=True,
    ),
    Case(
        "images of 0 to 255, one sigmoid",
        "2",
        (*_CLIPPED, "dead-layer", "output-ignores-input"),
        _CNN,
        repaired(_CNN, layers=_hidden_sigmoid(True), optimizer=adam(3e-3)),
        lottery=True,
    ),
    Case(
        "Adam at 1",
        "12",
        ("rate-too-high", "dead-layer", "output-ignores-input", "saturated-clipped-loss"),
        _HIGH,
        repaired(_HIGH, optimizer=adam(1e-3), epochs=20),
        lottery=True,
    ),
    Case(
        "collapse after progress",
        "13",
        ("rate-too-high",),
        repaired(
            _NET,
            optimizer=adam(0.01),
            epochs=14,
            layers=dense(8, 16, 16, 16, head=(1, "sigmoid")),
            callbacks=lambda: [_jump()],
        ),
        repaired(_NET, layers=dense(8, 16, 16, 16, head=(1, "sigmoid"))),
        lottery=True,
    ),
    Case(
        "the loss is infinite",
        "14",
        ("diverged", "exploding-gradient"),
        Run(dense(1, 50, 30, head=(1, None)), _parabola, "mse", sgd(0.5), "values", ("mae",), epochs=8),
        Run(
            dense(1, 50, 30, head=(1, None)),
            _parabola,
            "mse",
            sgd(0.003),
            "values",
            ("mae",),
            epochs=15,
        ),
    ),
    Case(
        "the schedule ran out",
        "cause",
        ("rate-zero",),
        repaired(_NEEDLE, optimizer=lambda: keras.optimizers.SGD(_ran_out())),
        _NEEDLE,
    ),
    Case("a rate of a millionth", "cause", ("rate-too-low",), _LOW, repaired(_LOW, optimizer=sgd(0.1))),
    Case(
        "Adadelta, raw pixels",
        "23",
        ("rate-too-low", "input-scale"),
        _DELTA,
        repaired(
            _DELTA,
            optimizer=adam(1e-3),
            layers=lambda: [
                keras.Input((192,)),
                LAYERS.Rescaling(1 / 160.0),
                LAYERS.Dense(64, activation="relu"),
                LAYERS.Dense(1, activation="sigmoid"),
            ],
        ),
    ),
    Case(
        "a cycle that has shrunk to nothing",
        "24",
        ("rate-too-low",),
        _SHRUNK,
        repaired(_SHRUNK, callbacks=lambda: [keras_clr.CyclicLR(1e-3, 0.3, 48)]),
    ),
    Case(
        "XOR with two sigmoid units",
        "9",
        ("no-signal-found", "regression-loss-on-classes"),
        _XOR_SMALL,
        repaired(
            _XOR_SMALL, layers=dense(2, 8, head=(1, "sigmoid"), activation="tanh"), optimizer=adam(0.05), batch_size=32
        ),
        lottery=True,
    ),
    Case(
        "XOR, first weights in [0, 1]",
        "10",
        ("no-signal-found", "regression-loss-on-classes"),
        repaired(
            _XOR_SMALL,
            layers=dense(
                2,
                2,
                head=(1, "sigmoid"),
                activation="sigmoid",
                kernel_initializer=keras.initializers.RandomUniform(0.0, 1.0),
            ),
        ),
        None,
        lottery=True,
    ),
    Case(
        "learned by heart",
        "cause",
        ("validation-at-chance",),
        _BY_HEART,
        repaired(_BY_HEART, data=_signal, validation=_fresh(_signal)),
    ),
    Case("few large batches", "17", (), _SLOW, repaired(_SLOW, batch_size=100)),
)
