"""Programs that learn in the end, though most of them look bad at first."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from _case import LAYERS, Run, adam, blobs, conv, dense, images, one_hot, parity, repaired, sequences, sgd, values
from head import BCE, SCCE

import keras_clr


def _noisy(share: float) -> Any:
    """Two classes; this share of the labels is turned round."""

    def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x, y = blobs(num_samples=1024, apart=3.0)(rng)
        wrong = rng.permutation(np.arange(len(y)) < share * len(y))
        return x, np.where(wrong, 1 - y, y)

    return data


def _several(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Five columns of yes and no, 30 % yes."""
    x = rng.normal(size=(512, 8)).astype("float32")
    return x, (x[:, :5] > 0.52).astype("float32")


def _codes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Inputs that are to be given back."""
    x = rng.random(size=(512, 2)) @ rng.random(size=(2, 12))
    x = (x / x.max()).astype("float32")
    return x, x


def _words(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences of word numbers, some of which speak for one class."""
    y = rng.permutation(np.arange(512) % 2)
    return rng.integers(0, 40, size=(512, 12)) + 20 * y[:, None], y


def _two_answers(rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    x, y = blobs(4)(rng)
    return x, [y // 2, y % 2]


def _two_heads() -> Any:
    inputs = keras.Input((8,))
    x = LAYERS.Dense(16, activation="relu")(inputs)
    heads = [LAYERS.Dense(2, activation="softmax", name=name)(x) for name in ("high", "low")]
    return keras.Model(inputs, heads)


def _warm_up() -> Any:
    """A rate that climbs for 10 of 16 epochs."""
    return keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(1e-8, 600, warmup_target=0.02, warmup_steps=160)
    )


def _logits() -> Any:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _residual() -> Any:
    inputs = keras.Input((8,))
    x = LAYERS.Dense(16)(inputs)
    for _ in range(6):
        x = LAYERS.Add()([x, LAYERS.Dense(16, kernel_initializer="zeros")(LAYERS.Activation("relu")(x))])
    return keras.Model(inputs, LAYERS.Dense(2, activation="softmax", kernel_initializer="zeros")(x))


_NET = Run(dense(8, 16, head=(1, "sigmoid")), blobs(), BCE, task="binary")
_VALUES = Run(dense(4, 16, head=(1, None)), values(), "mse", adam(), "values", ("mae",))
_SEVERAL = Run(dense(8, 16, head=(5, "sigmoid")), _several, BCE, adam(), "multi-label", ("binary_accuracy",))

RUNS = {
    "parity of 4 bits": Run(
        dense(4, 32, head=(1, "sigmoid"), activation="tanh"), parity(4), BCE, adam(), "binary", epochs=40
    ),
    "parity of 3 bits, SGD": Run(dense(3, 16, head=(2, "softmax")), parity(3), SCCE, sgd(0.1, 0.9), epochs=40),
    "XOR, squared error": Run(
        dense(2, 8, head=(1, "sigmoid"), activation="tanh"), parity(2), "mse", adam(), "binary", epochs=25
    ),
    "deep and narrow": Run(
        dense(8, *[8] * 10, head=(2, "softmax"), kernel_initializer="he_normal"), blobs(), SCCE, adam(3e-3), epochs=25
    ),
    "deep, tanh": Run(
        dense(8, *[8] * 8, head=(1, "sigmoid"), activation="tanh"), blobs(), BCE, sgd(0.05), "binary", epochs=25
    ),
    "four sigmoid layers, Adam": repaired(
        _NET, layers=dense(8, *[16] * 4, head=(1, "sigmoid"), activation="sigmoid"), epochs=25
    ),
    "long warm-up": repaired(_NET, optimizer=_warm_up, epochs=20),
    "cycle from a tiny rate": repaired(
        _NET, optimizer=sgd(), callbacks=lambda: [keras_clr.CyclicLR(1e-8, 0.3, 80)], epochs=16
    ),
    "cycle of triangular2": Run(
        dense(8, 16, head=(3, "softmax")),
        blobs(3),
        SCCE,
        adam(),
        callbacks=lambda: [keras_clr.CyclicLR(1e-6, 0.01, 32, mode="triangular2")],
    ),
    "slow SGD": repaired(_NET, optimizer=sgd(0.002), epochs=20),
    "95/5": repaired(_NET, data=blobs(shares=(0.95, 0.05), num_samples=1000), epochs=15),
    "95/5, softmax": Run(
        dense(8, 16, head=(2, "softmax")), blobs(shares=(0.05, 0.95), num_samples=1000), SCCE, adam(), epochs=15
    ),
    "40 % of the labels turned round": repaired(_NET, data=_noisy(0.4), epochs=15),
    "40 % turned round, SGD": repaired(_NET, data=_noisy(0.4), optimizer=sgd(0.05), epochs=15),
    "24 samples": repaired(_NET, data=blobs(num_samples=24), epochs=40, batch_size=8),
    "24 samples, 3 classes": Run(
        dense(8, 16, head=(3, "softmax")), blobs(3, num_samples=24), SCCE, adam(), epochs=40, batch_size=24
    ),
    "one batch an epoch": repaired(_NET, batch_size=512, epochs=30),
    "two batches, momentum": repaired(_NET, optimizer=sgd(0.1, 0.95), batch_size=256, epochs=30),
    "values": repaired(_VALUES, epochs=15),
    "values, SGD, absolute error": repaired(_VALUES, loss="mae", optimizer=sgd(0.02, 0.9), epochs=20),
    "values, Huber, 30": repaired(
        _VALUES, data=values(change=lambda y: 30 + 5 * y), loss="huber", optimizer=adam(0.1), epochs=30
    ),
    "several labels": repaired(_SEVERAL, epochs=20),
    "several labels, slow": repaired(_SEVERAL, optimizer=sgd(0.1, 0.9), epochs=30),
    "ten classes": Run(dense(8, 32, head=(10, None)), blobs(10, apart=3.0), _logits, adam(3e-3), epochs=20),
    "ten classes, one-hot, smoothed": Run(
        dense(8, 32, head=(10, "softmax")),
        blobs(10, apart=3.0, label=one_hot(10)),
        lambda: keras.losses.CategoricalCrossentropy(label_smoothing=0.1),
        adam(3e-3),
        epochs=20,
    ),
    "half dropped out": Run(
        lambda: [
            keras.Input((8,)),
            LAYERS.Dense(32, activation="relu"),
            LAYERS.Dropout(0.5),
            LAYERS.Dense(32, activation="relu"),
            LAYERS.Dropout(0.5),
            LAYERS.Dense(1, activation="sigmoid"),
        ],
        blobs(apart=1.0),
        BCE,
        adam(3e-3),
        "binary",
        epochs=15,
    ),
    "normalised, dropped out": Run(
        lambda: [
            keras.Input((8,)),
            LAYERS.Dense(32),
            LAYERS.BatchNormalization(),
            LAYERS.Activation("relu"),
            LAYERS.Dropout(0.3),
            LAYERS.Dense(3, activation="softmax"),
        ],
        blobs(3),
        SCCE,
        adam(),
        epochs=15,
    ),
    "images": Run(conv((2, "softmax")), images(2), SCCE, adam(1e-3), epochs=20),
    "images of 0 to 255": Run(conv((4, "softmax")), images(4, largest=255.0), SCCE, adam(1e-3), epochs=15),
    "LSTM": Run(
        lambda: [keras.Input((10, 2)), LAYERS.LSTM(4), LAYERS.Dense(1, activation="sigmoid")],
        sequences(),
        BCE,
        adam(3e-3),
        "binary",
        epochs=12,
    ),
    "words": Run(
        lambda: [
            keras.Input((12,), dtype="int32"),
            LAYERS.Embedding(60, 4),
            LAYERS.GlobalAveragePooling1D(),
            LAYERS.Dense(1, activation="sigmoid"),
        ],
        _words,
        BCE,
        adam(),
        "binary",
        epochs=15,
    ),
    "two answers": Run(
        _two_heads, _two_answers, [SCCE, SCCE], adam(), metrics=lambda: [["accuracy"], ["accuracy"]], epochs=15
    ),
    "starts from zeros": Run(_residual, blobs(), SCCE, adam(3e-3), epochs=15),
    "decaying weights": repaired(_NET, optimizer=lambda: keras.optimizers.AdamW(3e-3, weight_decay=0.1), epochs=15),
    "gives its inputs back": Run(
        dense(12, 4, head=(12, "sigmoid")), _codes, "mse", adam(), "values", ("mae",), epochs=40
    ),
    "hinge": Run(
        dense(8, 16, head=(1, "tanh")),
        blobs(label=lambda c: 2.0 * c - 1.0),
        "hinge",
        adam(),
        "binary",
        metrics=(),
        threshold=0.0,
        epochs=12,
    ),
    "barely apart": repaired(_NET, data=blobs(num_samples=1024, apart=0.4), epochs=15),
}
