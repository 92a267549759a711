"""The tasks of `finder_regret.py`: small real Keras models on data that scikit-learn ships or that is made here.

Constants of a method are tuned on every second task of the first 16 in alphabetical order and reported on the others;
the names were fixed before any result was seen. `FRESH` was written when all constants were fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import layers

NUM_HELD_OUT = 256
CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@dataclass
class Task:
    """Data, a model and what a predictor that ignores the inputs loses.

    Attributes:
        layers: Makes the layers of a fresh Sequential model.
        loss: A Keras loss.
        constant: The best outputs that ignore the inputs, from the targets; classes and the likelihood know theirs.
        trivial: Held-out loss of the best constant prediction: the cap of the regret.
        log: Whether regret is ln(loss / oracle). For the Gaussian likelihood, which can be negative, it is the plain
            difference in nats, which is the same thing for exp(loss).
        vectorise: Whether many rates may be trained side by side (a vectorised convolution is slow).
    """

    x: np.ndarray
    y: np.ndarray
    layers: Callable[[], list]
    loss: object = CROSS_ENTROPY
    log: bool = True
    vectorise: bool = True
    constant: Callable[[np.ndarray], np.ndarray] = lambda y: y.mean(axis=0)
    pretrain_steps: int = 0
    batch_size: int = 32
    held_out: tuple = field(init=False)
    trivial: float = field(init=False)

    def __post_init__(self):
        """Splits, after a fixed shuffle, and measures the constant prediction."""
        order = np.random.default_rng(1234).permutation(len(self.x))
        held = min(NUM_HELD_OUT, len(self.x) // 3)
        self.held_out = self.x[order[:held]], self.y[order[:held]]
        self.x, self.y = self.x[order[held:]], self.y[order[held:]]
        self.trivial = self._trivial_loss()

    def _trivial_loss(self) -> float:
        y, held = self.y, self.held_out[1]
        if y.dtype.kind == "i" and y.ndim == 1:
            shares = np.bincount(y, minlength=int(y.max()) + 1) / len(y)
            return float(-np.log(np.maximum(shares[held], 1e-3)).mean())
        if not self.log:
            guess = np.tile([y.mean(), np.log(y.std())], (len(held), 1)).astype("float32")
        else:
            guess = np.broadcast_to(self.constant(y), held.shape).astype("float32")
        return float(np.mean(keras.ops.convert_to_numpy(self.loss(held, guess))))

    def build(self, seed: int):
        """A fresh model whose initial weights are those of `seed`."""
        keras.utils.set_random_seed(seed)
        model = keras.Sequential([keras.Input(self.x.shape[1:], dtype=self.x.dtype.name), *self.layers()])
        if self.pretrain_steps:
            model.compile(optimizer=keras.optimizers.Adam(1e-3), loss=self.loss)
            part = slice(0, len(self.x) // 2)
            epochs = self.pretrain_steps * self.batch_size // (len(self.x) // 2)
            model.fit(self.x[part], self.y[part], batch_size=self.batch_size, epochs=epochs, verbose=0)
        return model


@keras.saving.register_keras_serializable(package="finder_regret")
def gaussian_nll(y_true, y_pred):
    """Mean negative log-likelihood of a Gaussian whose mean and log-scale are predicted; negative when sure."""
    mean, log_scale = y_pred[:, 0], y_pred[:, 1]
    residual = (keras.ops.reshape(y_true, (-1,)) - mean) * keras.ops.exp(-log_scale)
    return 0.5 * residual**2 + log_scale + 0.5 * float(np.log(2 * np.pi))


def _dense(*units: int, activation: str = "relu", out: int = 1):
    return lambda: [*(layers.Dense(u, activation=activation) for u in units), layers.Dense(out)]


def _standard(x):
    x = np.asarray(x, "float64")
    return ((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9)).astype("float32")


def _digits():
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return (x / 16).astype("float32"), y.astype("int32")


def _autoencoder():
    x, _ = _digits()
    return Task(x, x, _dense(32, 8, 32, out=64), loss=keras.losses.MeanSquaredError())


def _badly_scaled():
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1500, 12))
    y = (np.tanh(x[:, :6]).sum(axis=1) + 0.5 * x[:, 6] * x[:, 7] > 0).astype("int32")
    return Task((x * np.geomspace(0.03, 30, 12)).astype("float32"), y, _dense(32, out=2))


def _breast_cancer():
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return Task(_standard(x), y.astype("int32"), _dense(32, out=2))


def _deep_friedman():
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(1500, noise=0.5, random_state=0)
    return Task(
        x.astype("float32"),
        _standard(y)[:, None],
        _dense(24, 24, 24, 24, 24, activation="tanh"),
        loss=keras.losses.MeanSquaredError(),
    )


def _diabetes(scaled):
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    y = _standard(y) if scaled else y.astype("float32")
    return Task(_standard(x), y[:, None], _dense(32), loss=keras.losses.MeanSquaredError(), batch_size=16)


def _digits_bn_dropout():
    x, y = _digits()

    def block():
        return [layers.Dense(48, use_bias=False), layers.BatchNormalization(), layers.ReLU(), layers.Dropout(0.3)]

    return Task(x, y, lambda: [*block(), *block(), layers.Dense(10)])


def _digits_cnn():
    x, y = _digits()

    def conv():
        return [
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Conv2D(16, 2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]

    return Task(x.reshape(-1, 8, 8, 1), y, conv, vectorise=False)


def _digits_mlp():
    return Task(*_digits(), _dense(48, out=10))


def _fine_tune():
    return Task(*_digits(), _dense(48, 24, out=10), pretrain_steps=100)


def _gaussian_nll():
    rng = np.random.default_rng(7)
    x = rng.uniform(-2, 2, size=(1500, 3))
    scale = 0.05 + 0.15 * (x[:, 2] > 0)
    y = np.sin(2 * x[:, 0]) * 0.7 + 0.3 * x[:, 1] + scale * rng.normal(size=1500)
    return Task(x.astype("float32"), y.astype("float32"), _dense(32, 32, out=2), loss=gaussian_nll, log=False)


def _gru_sines():
    rng = np.random.default_rng(8)
    frequency = rng.uniform(0.2, 1.2, size=(1500, 1))
    wave = np.sin(frequency * np.arange(11) + rng.uniform(0, 6, size=(1500, 1)))
    wave += 0.05 * rng.normal(size=wave.shape)
    x, y = wave[:, :10, None].astype("float32"), wave[:, 10:].astype("float32")
    return Task(x, y, lambda: [layers.GRU(8), layers.Dense(1)], loss=keras.losses.MeanSquaredError())


def _imbalanced():
    from sklearn.datasets import make_classification

    x, y = make_classification(
        2000, 16, n_informative=8, weights=[0.95], flip_y=0.01, class_sep=1.2, n_clusters_per_class=3, random_state=3
    )
    return Task(x.astype("float32"), y.astype("int32"), _dense(32, out=2))


def _label_noise():
    x, y = _digits()
    rng = np.random.default_rng(9)
    wrong = rng.random(len(y)) < 0.3
    return Task(x, np.where(wrong, rng.integers(0, 10, len(y)), y).astype("int32"), _dense(48, out=10))


def _spirals():
    rng = np.random.default_rng(10)
    y = rng.integers(0, 3, 1500)
    t = np.sqrt(rng.random(1500)) * 2.5 * np.pi
    angle = t + y * 2 * np.pi / 3 + 0.15 * rng.normal(size=1500)
    x = np.stack([t * np.cos(angle), t * np.sin(angle)], axis=1) / 4
    return Task(x.astype("float32"), y.astype("int32"), _dense(32, 32, out=3))


def _wine():
    from sklearn.datasets import load_wine

    x, y = load_wine(return_X_y=True)
    return Task(_standard(x), y.astype("int32"), _dense(24, activation="tanh", out=3), batch_size=16)


def _bag_of_words():
    """Four topics with word frequencies of their own, in sentences of 25 words."""
    rng = np.random.default_rng(21)
    topics = rng.dirichlet(np.full(200, 0.3), size=4)
    y = rng.integers(0, 4, 1500)
    mixed = 0.35 * topics[y] + 0.65 * topics.mean(axis=0)
    words = np.stack([rng.choice(200, size=25, p=p / p.sum()) for p in mixed])
    return Task(
        words.astype("int32"),
        y.astype("int32"),
        lambda: [layers.Embedding(200, 16), layers.GlobalAveragePooling1D(), layers.Dense(4)],
    )


def _deep_tanh():
    rng = np.random.default_rng(22)
    x = rng.normal(size=(1500, 8))
    teacher = np.tanh(np.tanh(x @ rng.normal(size=(8, 8))) @ rng.normal(size=(8, 3)))
    y = (teacher + 0.1 * rng.normal(size=teacher.shape)).argmax(axis=1)
    return Task(x.astype("float32"), y.astype("int32"), _dense(*[20] * 8, activation="tanh", out=3))


def _denoising():
    x, _ = _digits()
    seen = x + 0.3 * np.random.default_rng(23).normal(size=x.shape).astype("float32")
    net = [64, 16, 64]
    return Task(seen, x, _dense(*net, out=64, activation="elu"), loss=keras.losses.MeanSquaredError())


def _friedman2_mae():
    from sklearn.datasets import make_friedman2

    x, y = make_friedman2(1500, noise=50.0, random_state=1)
    loss = keras.losses.MeanAbsoluteError()
    return Task(_standard(x), _standard(y)[:, None], _dense(48, 48), loss=loss, constant=lambda y: np.median(y, axis=0))


def _friedman3_huber():
    from sklearn.datasets import make_friedman3

    x, y = make_friedman3(1500, noise=0.1, random_state=2)
    return Task(
        _standard(x), _standard(y)[:, None], _dense(32, activation="selu"), loss=keras.losses.Huber(), batch_size=64
    )


def _layer_norm():
    from sklearn.datasets import make_moons

    x, y = make_moons(1500, noise=0.25, random_state=3)
    x = np.concatenate([x, np.random.default_rng(24).normal(size=(1500, 6))], axis=1)

    def block():
        return [layers.Dense(32), layers.LayerNormalization(), layers.Activation("gelu")]

    return Task(x.astype("float32"), y.astype("int32"), lambda: [*block(), *block(), layers.Dense(2)], batch_size=16)


def _multi_label():
    from sklearn.datasets import make_multilabel_classification

    x, y = make_multilabel_classification(1500, n_features=20, n_classes=6, n_labels=2, random_state=4)
    return Task(
        _standard(x),
        y.astype("float32"),
        _dense(32, out=6),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
        constant=lambda y: -np.log(1 / y.mean(axis=0) - 1),
    )


TASKS: dict[str, Callable[[], Task]] = {
    "autoencoder": _autoencoder,
    "badly_scaled": _badly_scaled,
    "breast_cancer": _breast_cancer,
    "deep_friedman": _deep_friedman,
    "diabetes_raw": lambda: _diabetes(scaled=False),
    "diabetes_scaled": lambda: _diabetes(scaled=True),
    "digits_bn_dropout": _digits_bn_dropout,
    "digits_cnn": _digits_cnn,
    "digits_mlp": _digits_mlp,
    "fine_tune": _fine_tune,
    "gaussian_nll": _gaussian_nll,
    "gru_sines": _gru_sines,
    "imbalanced": _imbalanced,
    "label_noise": _label_noise,
    "spirals": _spirals,
    "wine": _wine,
}
TUNING = tuple(sorted(TASKS)[0::2])
REPORTING = tuple(sorted(TASKS)[1::2])
_FRESH = {
    "bag_of_words": _bag_of_words,
    "deep_tanh": _deep_tanh,
    "denoising": _denoising,
    "friedman2_mae": _friedman2_mae,
    "friedman3_huber": _friedman3_huber,
    "layer_norm": _layer_norm,
    "multi_label": _multi_label,
}
FRESH = tuple(_FRESH)
TASKS |= _FRESH

OPTIMIZERS: dict[str, Callable] = {
    "sgd": lambda: keras.optimizers.SGD(0.01),
    "momentum": lambda: keras.optimizers.SGD(0.01, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.001),
    "adamw": lambda: keras.optimizers.AdamW(0.001),
}
