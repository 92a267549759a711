"""What a case is made of, and the small data sets and networks that many of them share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras
import numpy as np

NUM_SAMPLES = 512
LAYERS = keras.layers


class Batches(keras.utils.PyDataset):
    """The samples as they come."""

    def __init__(self, x: np.ndarray, y: np.ndarray, batch_size: int) -> None:
        super().__init__()
        self.x, self.y, self.batch_size = x, y, batch_size

    def __len__(self) -> int:
        return -(-len(self.x) // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        part = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return self.x[part], self.y[part]


@dataclass(frozen=True)
class Run:
    """One program: a network, how it is compiled, its data, how it is fitted.

    Attributes:
        layers: Makes the layers of a `Sequential`, or the whole (uncompiled) model.
        data: Makes `(x, y)` from a numpy generator.
        loss: As for `compile`; a function makes a new one.
        optimizer: Makes the optimizer.
        task: What a right answer is: "binary" (the only unit above `threshold`), "classes" (the largest unit),
            "multi-label" (each unit above `threshold`), or "values" (R^2 above 0.1).
        metrics: As for `compile`; a function makes new ones.
        threshold: Of a unit that says yes.
        epochs: Of the fit.
        batch_size: Of the fit.
        shuffle: False also hands the data over as batches, as a generator does: `fit` does not shuffle them.
        batches: Makes of inputs, labels and batch size what `fit` is given instead of arrays.
        callbacks: Makes the callbacks besides the detector.
        validation: Makes validation data from a numpy generator.
        fit: Makes further arguments of `fit` from the labels, such as sample weights.
    """

    layers: Callable[[], Any]
    data: Callable[[np.random.Generator], tuple[Any, Any]]
    loss: Any = "sparse_categorical_crossentropy"
    optimizer: Callable[[], Any] = lambda: keras.optimizers.Adam(0.01)
    task: str = "classes"
    metrics: Any = ("accuracy",)
    threshold: float = 0.5
    epochs: int = 12
    batch_size: int = 32
    shuffle: bool = True
    batches: Callable[[Any, Any, int], Any] | None = None
    callbacks: Callable[[], Sequence[Any]] = tuple
    validation: Callable[[np.random.Generator], tuple[Any, Any]] | None = None
    fit: Callable[[Any], dict[str, Any]] = lambda labels: {}

    def model(self) -> Any:
        """A new model, not compiled."""
        made = self.layers()
        return made if isinstance(made, keras.Model) else keras.Sequential(made)

    def source(self, x: Any, y: Any) -> tuple[Any, ...]:
        """What `fit` is given: arrays, or data in batches."""
        if self.batches is None and self.shuffle:
            return x, y
        return ((self.batches or Batches)(x, y, self.batch_size),)

    def compile(self, model: Any) -> None:
        """Compiles it with a new optimizer, loss and metrics."""
        loss = self.loss() if callable(self.loss) else self.loss
        metrics = self.metrics() if callable(self.metrics) else list(self.metrics)
        model.compile(optimizer=self.optimizer(), loss=loss, metrics=metrics)


@dataclass(frozen=True)
class Case:
    """A sick program and the smallest repair that makes it learn.

    Attributes:
        name: Unique.
        source: Number in the list of public questions, or the cause that it is made for.
        causes: Codes that name what is wrong; the first is the best answer. Written down before any run.
        sick: The program.
        twin: The repaired one; None if there is nothing to repair in the program.
        lottery: Whether it fails by luck of the seed: only runs that do fail are counted.
    """

    name: str
    source: str
    causes: tuple[str, ...]
    sick: Run
    twin: Run | None
    lottery: bool = False


@dataclass(frozen=True)
class Healthy:
    """A program that learns, though it may not look so at first."""

    name: str
    run: Run
    extra: dict[str, Any] = field(default_factory=dict)


def repaired(run: Run, **changes: Any) -> Run:
    """The same program but for these changes."""
    return replace(run, **changes)


def dense(
    features: int, *hidden: int, head: Any, activation: str = "relu", **arguments: Any
) -> Callable[[], list[Any]]:
    """Layers of a small network; `head` is (units, activation), or makes the last layers."""

    def layers() -> list[Any]:
        last = head() if callable(head) else [LAYERS.Dense(head[0], activation=head[1])]
        return [
            keras.Input((features,)),
            *(LAYERS.Dense(units, activation=activation, **arguments) for units in hidden),
            *last,
        ]

    return layers


def adam(rate: float = 0.01) -> Callable[[], Any]:
    """Makes Adam."""
    return lambda: keras.optimizers.Adam(rate)


def sgd(rate: float = 0.1, momentum: float = 0.0) -> Callable[[], Any]:
    """Makes SGD."""
    return lambda: keras.optimizers.SGD(rate, momentum=momentum)


def blobs(
    num_classes: int = 2,
    num_samples: int = NUM_SAMPLES,
    features: int = 8,
    apart: float = 2.0,
    shares: Sequence[float] | None = None,
    label: Callable[[np.ndarray], np.ndarray] = lambda classes: classes,
    scale: float = 1.0,
    offset: float = 0.0,
) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """Classes as clouds of points, `apart` times their width from the origin; balanced unless `shares` are given."""

    def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        if shares is None:
            classes = rng.permutation(np.arange(num_samples) % num_classes)
        else:
            counts = np.round(np.array(shares) * num_samples).astype(int)
            classes = rng.permutation(np.repeat(np.arange(num_classes), counts))
        directions = rng.normal(size=(num_classes, features))
        centres = apart * directions / np.linalg.norm(directions, axis=1, keepdims=True) * np.sqrt(2)
        if num_classes == 2:
            centres[1] = -centres[0]
        x = centres[classes] + rng.normal(size=(len(classes), features))
        return (scale * x + offset).astype("float32"), label(classes)

    return data


def one_hot(num_classes: int) -> Callable[[np.ndarray], np.ndarray]:
    """Labels as rows."""
    return lambda classes: np.eye(num_classes, dtype="float32")[classes]


def values(
    num_samples: int = NUM_SAMPLES,
    features: int = 4,
    change: Callable[[np.ndarray], np.ndarray] = lambda y: y,
    scale: float = 1.0,
) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """A smooth function of the inputs, of about mean 0 and spread 1, with a little noise."""

    def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(num_samples, features))
        y = (x[:, 0] + np.sin(2 * x[:, 1])) / 1.25 + 0.1 * rng.normal(size=num_samples)
        return (scale * x).astype("float32"), change(y).astype("float32").reshape(-1, 1)

    return data


def parity(bits: int, num_samples: int = NUM_SAMPLES, noise: float = 0.1) -> Callable[..., Any]:
    """Whether a number of signs is odd: no single feature tells anything."""

    def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        signs = rng.integers(0, 2, size=(num_samples, bits))
        x = 2.0 * signs - 1.0 + noise * rng.normal(size=signs.shape)
        return x.astype("float32"), signs.sum(axis=1) % 2

    return data


def needle(features: int = 200, num_samples: int = NUM_SAMPLES) -> Callable[..., Any]:
    """The sign of one feature of many: first weights know next to nothing of it."""

    def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(num_samples, features))
        order = np.argsort(x[:, 0])
        return x.astype("float32"), (np.argsort(order) >= num_samples // 2).astype(int)

    return data


def images(
    num_classes: int = 2, num_samples: int = 256, size: int = 8, largest: float = 1.0
) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """Grey images of `size` x `size` with values in [0, `largest`]: a bright patch whose place tells the class."""

    def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        classes = rng.permutation(np.arange(num_samples) % num_classes)
        x = 0.3 * rng.random((num_samples, size, size, 1))
        places = np.linspace(0, size * size - 3, num_classes).astype(int)
        flat = x.reshape(num_samples, -1)
        for shift in range(3):
            flat[np.arange(num_samples), places[classes] + shift] += 0.7
        return (largest * flat.reshape(x.shape)).astype("float32"), classes

    return data


def conv(head: Any, size: int = 8, first: Sequence[Any] = ()) -> Callable[[], list[Any]]:
    """A small convolutional network."""
    return lambda: [
        keras.Input((size, size, 1)),
        *(make() for make in first),
        LAYERS.Conv2D(8, 3, activation="relu"),
        LAYERS.Flatten(),
        LAYERS.Dense(16, activation="relu"),
        LAYERS.Dense(head[0], activation=head[1]),
    ]


def sequences(num_samples: int = NUM_SAMPLES, length: int = 10, signal: bool = True) -> Callable[..., Any]:
    """Sequences whose mean has a sign; without `signal`, labels know nothing of them."""

    def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        y = rng.permutation(np.arange(num_samples) % 2)
        x = rng.normal(size=(num_samples, length, 2)) + (0.7 * (2 * y - 1)[:, None, None] if signal else 0.0)
        return x.astype("float32"), y

    return data
