"""Programs for the pictures of causes that no program of `benchmarks/stuck_corpus` has planted, in its own terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import layers
import numpy as np
from _case import Case, Run, adam, blobs, dense, needle, repaired, sequences
from keras.layers import Dense, Dropout, GlobalAveragePooling1D, Masking, SimpleRNN, Softmax

BCE = "binary_crossentropy"


@dataclass(frozen=True)
class Program(Case):
    """A case whose sick program is also fitted with other arguments."""

    fit: Mapping[str, Any] = field(default_factory=dict)


def program(code: str, name: str, sick: Run, fit: Mapping[str, Any] | None = None, **repair: Any) -> Program:
    """A program that shows one cause, and its repair."""
    return Program(name, "picture", (code,), sick, repaired(sick, **repair), fit=fit or {})


def network(features: int, *between: Callable[[], Any], head: Callable[[], Any]) -> Callable[[], list[Any]]:
    """Layers of a small network, each new whenever it is built."""
    return lambda: [keras.Input((features,)), *(make() for make in between), head()]


def recurrent(*last: Callable[[], Any]) -> Callable[[], list[Any]]:
    """Layers for sequences of ten steps of two features."""
    return lambda: [keras.Input((10, 2)), *(make() for make in last)]


def padded(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sequences, eight of which are nothing but padding."""
    x, y = sequences()(rng)
    x[:8] = 0.0
    return x, y


def means(*shape: int) -> Callable[[np.random.Generator], tuple[np.ndarray, np.ndarray]]:
    """The mean of a sequence, as labels of that shape behind the number of samples."""

    def data(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(size=(512, 10, 2)).astype("float32")
        return x, (3.0 * x.mean(axis=(1, 2))).reshape(-1, *shape)

    return data


def wrong_answers(labels: Any, outputs: Any) -> Any:
    """A share, which changes in steps."""
    wrong = keras.ops.not_equal(labels, keras.ops.round(outputs))
    return keras.ops.mean(keras.ops.cast(wrong, "float32"), axis=-1)


def turned_round(labels: Any, outputs: Any) -> Any:
    """A likelihood where a loss is wanted."""
    return -keras.losses.binary_crossentropy(labels, outputs)


def two_layers(penalty: float) -> Callable[[], list[Any]]:
    """With an L2 penalty on each kernel."""

    def hidden() -> Any:
        return Dense(32, activation="relu", kernel_regularizer=keras.regularizers.L2(penalty))

    return network(8, hidden, hidden, head=lambda: Dense(1, activation="sigmoid"))


def thinned_out(rate: float) -> Callable[[], list[Any]]:
    """With dropout behind 64 units."""
    return network(
        8, lambda: Dense(64, activation="relu"), lambda: Dropout(rate), head=lambda: Dense(1, activation="sigmoid")
    )


def too_large_a_start() -> Case:
    """The corpus' last layer that is sure, and wrong, with smaller weights: else it is `saturated-output`."""
    case = next(case for case in layers.CASES if case.causes[0] == "initial-loss-far-above-chance")

    def last() -> list[Any]:
        return [Dense(5, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=1.5))]

    sick = repaired(case.sick, layers=dense(8, 16, head=last))
    return Program("a last layer that starts too large", "picture", case.causes[:1], sick, case.twin)


_NET = Run(dense(8, 16, head=(1, "sigmoid")), blobs(), BCE, task="binary")
# First weights know next to nothing of it, so no run looks as if it had learned.
_NEEDLE = repaired(_NET, layers=dense(200, 16, head=(1, "sigmoid")), data=needle())
_MASKED = recurrent(Masking, GlobalAveragePooling1D, lambda: Dense(1, activation="sigmoid"))
_STEPS = recurrent(lambda: SimpleRNN(8, return_sequences=True), lambda: Dense(2, activation="softmax"))
_LAST_STEP = recurrent(lambda: SimpleRNN(8), lambda: Dense(2, activation="softmax"))
_EACH_STEP = recurrent(lambda: Dense(8, activation="relu"), lambda: Dense(1))
_MEAN_STEP = recurrent(lambda: Dense(8, activation="relu"), GlobalAveragePooling1D, lambda: Dense(1))


def _softmax(axis: int) -> Callable[[], list[Any]]:
    return dense(8, 16, head=lambda: [Dense(2), Softmax(axis=axis)])


CASES = [
    too_large_a_start(),
    program("all-steps-masked", "padding only", Run(_MASKED, padded, BCE, task="binary"), data=sequences()),
    program("fit-fails", "an answer for each step", Run(_STEPS, sequences()), layers=_LAST_STEP),
    program("samples-mixed", "softmax over the batch", Run(_softmax(0), blobs()), layers=_softmax(-1)),
    program(
        "shapes-stretched",
        "one label, ten answers",
        Run(_EACH_STEP, means(1, 1), "mse", task="values", metrics=()),
        layers=_MEAN_STEP,
        data=means(1),
    ),
    program("zero-sample-weights", "weights of zero", _NEEDLE, fit={"class_weight": {0: 0.0, 1: 0.0}}),
    program("penalty-dominates-loss", "L2 of 10", repaired(_NET, layers=two_layers(10.0)), layers=two_layers(1e-4)),
    program("loss-without-slope", "wrong answers as the loss", repaired(_NEEDLE, loss=lambda: wrong_answers), loss=BCE),
    program("loss-rewards-wrong-answers", "a sign turned round", repaired(_NET, loss=lambda: turned_round), loss=BCE),
    program(
        "dropout-leaves-nothing",
        "0.999 dropped",
        repaired(_NET, layers=thinned_out(0.999), optimizer=adam(0.003)),
        layers=thinned_out(0.5),
    ),
]
