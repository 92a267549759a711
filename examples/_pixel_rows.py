"""The rows of `pixel_colour.py`: the question, each piece of advice that was given on it, and each cure.

A row is one change of the question's network, order of images, or learning rate, and its runs are a `keras_clr.study`.
Rows with the same layers start from the same initial weights, and run i of every row takes its order from the same
seed.
"""

from __future__ import annotations

import functools
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
from _pixel_images import Batches, PixelImages
from _pixel_network import FULL, Network, Setting, measure_logit_move

import keras_clr
from keras_clr.study.dispatch import Dispatcher, pickled
from keras_clr.study.plan import plan_run

# In a worker, too: many models are traced here, and each is meant.
logging.getLogger("tensorflow").setLevel("ERROR")

# Rates of the advice, as given: Adam(0.001, decay=0.01), ReduceLROnPlateau(..., min_lr=0.00001).
ADVISED_RATE, ADVISED_DECAY, ADVISED_MIN = 0.001, 0.01, 0.00001
# Rates of the fixed model, at any size: it has no sum over all places that would have to be made up for.
FIXED_RATES = 0.001, 0.01


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        kind: "question", "advice", "order" or "cure".
        what: What it changes, in a few words.
        network: The network.
        order: Of the training images: see `Batches`.
        rates: "cyclic", "constant", "decay" (and reduced on a plateau), "range test" or "own".
        lengthened: Times the question's epochs.
    """

    kind: str
    what: str
    network: Network = field(default_factory=Network)
    order: str = "shuffled"
    rates: str = "cyclic"
    lengthened: int = 1


_FIXED = Network(units=2, logits=True, centred=True, convolutions=1, dense=False, pooling=True)
ROWS = {
    "question": Row("question", "the question's network; its loss clips probabilities to [1e-7, 1 - 1e-7]"),
    "class-order": Row("advice", "shuffle=False, all red images before all green ones", order="by class"),
    "interleaved": Row("advice", "shuffle=False, red and green in turn", order="interleaved"),
    "no-cycling": Row("advice", "a constant rate, the mean of base_lr and max_lr", rates="constant"),
    "20-epochs": Row("advice", "20 epochs", lengthened=2),
    "30-epochs": Row("advice", "30 epochs", lengthened=3),
    "decay": Row("advice", "Adam(0.001) with decay 0.01, and ReduceLROnPlateau on val_loss", rates="decay"),
    "augmentation": Row("advice", "small rotations and zooms", Network(augmentation=True)),
    "dropout-0.2": Row("advice", "dropout 0.2", Network(dropout=0.2)),
    "dropout-0.6": Row("advice", "dropout 0.6", Network(dropout=0.6)),
    "convolutions": Row("advice", "two convolutions before the dense layer", Network(convolutions=2)),
    "two-units": Row("advice", "two units instead of three", Network(units=2)),
    "logits": Row("cure", "the loss sees the logits: from_logits=True, no softmax", Network(logits=True)),
    "centred": Row("cure", "inputs from -1 to 1", Network(centred=True)),
    "range-test": Row("cure", "the range that find_lr suggests", rates="range test"),
    "pooling": Row(
        "cure",
        "logits, inputs from -1 to 1, GlobalMaxPooling2D for Flatten",
        Network(logits=True, centred=True, pooling=True),
    ),
    "logits-class-order": Row("order", "logits, all red before all green", Network(logits=True), order="by class"),
    "logits-interleaved": Row("order", "logits, red and green in turn", Network(logits=True), order="interleaved"),
    "fixed": Row("cure", "a small convolutional network: one Conv2D, GlobalMaxPooling2D, logits", _FIXED, rates="own"),
}


class Decay(keras.callbacks.Callback):
    """`decay` as in the optimizers of the question's time: rate / (1 + decay k) in batch k; others may set the rate."""

    def __init__(self, decay: float) -> None:
        super().__init__()
        self._decay = decay

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Starts at the optimizer's rate."""
        self._rate, self._written = self._now(), None

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Sets the rate of this batch."""
        now = self._now()
        if self._written is not None and now != self._written:
            self._rate *= now / self._written
        # Updates, where gradients of several chunks are added up.
        step = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        self.model.optimizer.learning_rate = self._rate / (1.0 + self._decay * step)
        self._written = self._now()

    def _now(self) -> float:
        return float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))


@dataclass(frozen=True)
class Bench:
    """What all rows have in common.

    Attributes:
        setting: The size.
        background: See `BACKGROUNDS`.
        epochs: Of a run.
        seed: Of images, initial weights and orders.
    """

    setting: Setting
    background: str
    epochs: int
    seed: int

    def images(self, training: bool) -> PixelImages:
        """Those to train on, or those to validate on."""
        count = self.setting.training_images if training else self.setting.validation_images
        return PixelImages(count, self.setting.size, self.background, (self.seed, 0 if training else 1))

    def rates(self, row: Row, suggested: tuple[float, float] | None = None) -> tuple[float, float]:
        """Lowest and highest rate of a row; where its rate does not cycle, that of its first batch, twice."""
        setting = self.setting
        if row.rates == "constant":
            return ((setting.base_lr + setting.max_lr) / 2,) * 2
        if row.rates == "decay":
            return (ADVISED_RATE * setting.rate_factor,) * 2
        if row.rates == "own":
            return FIXED_RATES
        return suggested or (setting.base_lr, setting.max_lr)

    def callbacks(self, row: Row, rates: tuple[float, float]) -> list[Any]:
        """What sets the rates of a run."""
        setting = self.setting
        if row.rates == "constant":
            return []
        if row.rates == "decay":
            # At the small size an epoch has fewer batches: the same decay in an epoch.
            decay = ADVISED_DECAY * FULL.steps_per_epoch / setting.steps_per_epoch
            plateau = keras.callbacks.ReduceLROnPlateau(
                monitor="val_loss", factor=0.2, patience=5, min_lr=ADVISED_MIN * setting.rate_factor
            )
            return [Decay(decay), plateau]
        return [keras_clr.CyclicLR(*rates, setting.step_size)]

    def rate_curve(self, row: Row, rates: tuple[float, float], study: keras_clr.Study) -> dict[str, list[float]]:
        """The learning rate over the epochs, for a picture: what was set, or the curve that Keras keeps."""
        steps = self.setting.steps_per_epoch * self.epochs * row.lengthened
        if row.rates == "decay":
            kept = study.results[0].curves.get("learning_rate", ()) if study.results else ()
            return {"epoch": [float(epoch) for epoch in range(1, len(kept) + 1)], "learning_rate": list(kept)}
        if row.rates == "constant":
            return {"epoch": [0.0, float(self.epochs * row.lengthened)], "learning_rate": list(rates)}
        (clr,) = self.callbacks(row, rates)
        every = max(1, steps // 500)
        values = clr.simulate(steps)[::every].tolist()
        return {
            "epoch": [step * every / self.setting.steps_per_epoch for step in range(len(values))],
            "learning_rate": values,
        }

    def build(self, row: Row, first_rate: float) -> keras.Model:
        """The row's model."""
        return row.network.build(self.setting, self.seed, first_rate)

    def batches(self, row: Row, order_seed: int) -> Batches:
        """What a run trains on."""
        network = row.network
        return Batches(self.images(True), network.chunk(self.setting), network.units, (order_seed,), row.order)


class PeakMemory(keras.callbacks.Callback):
    """Adds the largest memory of the run's process so far, in GB, to the curves."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Where the system tells."""
        peak = peak_memory()
        if logs is not None and peak is not None:
            logs["peak_memory_gb"] = peak


def peak_memory() -> float | None:
    """Largest memory of this process so far in GB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


@dataclass(frozen=True)
class Measured:
    """What is found out about a row before its runs.

    Attributes:
        rates: Lowest and highest rate.
        logit_moves: How far the first update moves a logit at these rates.
        curve: The range test of a row that has one.
        peak_memory: Of the process that measured, in GB; None where the system does not tell.
    """

    rates: tuple[float, float]
    logit_moves: tuple[float, float]
    curve: keras_clr.LRCurve | None
    peak_memory: float | None


def measure(bench: Bench, row: Row) -> Measured:
    """Looks at a row's model with its initial weights."""

    def fresh_model(rate: float) -> keras.Model:
        keras.utils.set_random_seed(plan_run(0, "shuffle", bench.seed).init_seed)
        return bench.build(row, rate)

    curve = None
    if row.rates == "range test":
        curve = keras_clr.find_lr(fresh_model(bench.setting.base_lr), bench.batches(row, 0), verbose=0)
    rates = bench.rates(row, curve and curve.suggest_bounds())
    images, chunk = bench.images(True), row.network.chunk(bench.setting)
    moves = [measure_logit_move(fresh_model(rate), images, bench.setting, chunk) for rate in rates]
    return Measured(rates, (moves[0], moves[1]), curve, peak_memory())


def measure_elsewhere(bench: Bench, rows: Sequence[Row], n_jobs: int | None) -> Iterator[Measured]:
    """`measure` for each row, in worker processes like those of a study.

    Raises:
        RuntimeError: If a row cannot be measured.
    """

    def look(arrays: Sequence[Any], row: Row) -> dict[str, Any]:  # noqa: ARG001
        return {"measured": measure(bench, row)}

    dispatch = Dispatcher(pickled({"bench": look})["bench"], [], keras.backend.backend(), n_jobs)
    # All at once; at full size each in a process of its own, which gives its memory back.
    for group in [[row] for row in rows] if bench.setting.name == "full" else [rows]:
        outcomes = dict(dispatch(group))
        for number, row in enumerate(group):
            if "measured" not in outcomes[number]:
                raise RuntimeError(f"Cannot measure the row '{row.what}': " + "".join(outcomes[number].values()))
            yield outcomes[number]["measured"]


def run_row(bench: Bench, row: Row, measured: Measured, **arguments: Any) -> keras_clr.Study:
    """All runs of a row; `arguments` as for `study`."""
    setting, network = bench.setting, row.network
    training = bench.images(True)

    def callbacks() -> list[keras.callbacks.Callback]:
        return [*bench.callbacks(row, measured.rates), PeakMemory()]

    return keras_clr.study(
        functools.partial(bench.build, row, measured.rates[0]),
        functools.partial(bench.batches, row),
        seed=bench.seed,
        vary="shuffle",
        callbacks=callbacks,
        detector={"probe_data": training.take(training.balanced(setting.probe_images), network.units)},
        validation_data=Batches(bench.images(False), setting.validation_chunk, network.units),
        epochs=bench.epochs * row.lengthened,
        **arguments,
    )
