"""`find_lr`: runs the range test on a model and gives everything back."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import keras
import numpy as np

from keras_clr._borrow import borrow
from keras_clr._keras.learning_rate import learning_rate_writer
from keras_clr._keras.optimizers import accumulation_steps, momentum_of
from keras_clr._keras.training import BatchLoss
from keras_clr.finder.arguments import check_data, check_labels, check_settings
from keras_clr.finder.curve import LRCurve, Probe
from keras_clr.finder.data import are_arrays, count_not_finite, first_batch
from keras_clr.finder.errors import LossNotFiniteError
from keras_clr.finder.plan import MIN_POINTS, SweepEnd, SweepPlan
from keras_clr.finder.rules import candidates

_BATCHES_AHEAD = 4  # Trained before the loss of a batch is looked at. They are given back like all the others.
_FOR_EVER = 10**9  # Epochs; the sweep stops by itself.
_RESTARTS = 4
_DECADES_LOWER = 3
_DECADES_HIGHER = 3


def find_lr(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    min_lr: float = 1e-5,
    max_lr: float = 10.0,
    num_steps: int = 100,
    probe_steps: int = 0,
    callbacks: Any = None,
    verbose: int = 1,
    **fit_arguments: Any,
) -> LRCurve:
    """Measures which learning rates train `model`, and leaves the model as it was.

    It trains with a rate that rises geometrically from `min_lr` to `max_lr` and notes the true loss of each batch
    (Smith 2015, arXiv 1506.01186). A loss that has not begun to rise again by `max_lr` is followed for up to three more
    decades; if it diverges at once, the sweep starts anew three decades lower. With `probe_steps` it also trains that
    many steps at each of a few rates near the suggested one, always from the same state and on the same batches.

    Whatever happens, Ctrl-C and an exception in the data included, the whole state of the model comes back bit for
    bit, as does the random state: training afterwards is what it would have been. Two things cannot be given back:
    what was taken from a generator, and on torch the state of a `DataLoader` with workers.

    Args:
        model: A compiled Keras model with any optimizer. It may be unbuilt (it is built on the first batch), and its
            optimizer may have a schedule (which is set aside for the while).
        x: Inputs, as for `model.fit`: arrays, dicts and lists of them, `tf.data.Dataset`, `PyDataset`, torch
            `DataLoader`, or a generator. Data that ends sooner is repeated.
        y: Targets, as for `model.fit`.
        min_lr: First rate, > 0. Defaults to 1e-5.
        max_lr: Rate that is reached after `num_steps` updates. Defaults to 10.
        num_steps: Updates from `min_lr` to `max_lr`, >= 20. With gradient accumulation, an update is several batches,
            and its loss is their mean. Defaults to 100.
        probe_steps: Updates at each candidate rate; 0 leaves it at the curve. In the benchmark, short trainings did not
            pay on the whole: they favour too high a rate. Defaults to 0.
        callbacks: Your callbacks, as for `model.fit`. None that sets the learning rate.
        verbose: 1 for one progress bar, 0 for nothing. Defaults to 1.
        **fit_arguments: As for `fit`: `batch_size`, `steps_per_epoch`, `sample_weight`, `class_weight`, `shuffle`.

    Returns:
        The `LRCurve`.

    Raises:
        ValueError: If an argument is out of range or would be ignored, the model is not compiled, `x` and `y` are
            nothing that `fit` takes, have no samples or different numbers of them, or the labels are missing, text,
            or (for losses of Keras) NaN. Nothing has been touched then.
        TypeError: If a rate is not a number.
        LRFinderError: If the loss is NaN or infinite at the lowest rate already; it counts what is in the data.

    Example:
    >>> import keras, keras_clr, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(256, 4)).astype("float32")
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer="sgd", loss="mse")
    >>> curve = keras_clr.find_lr(model, x, x.sum(axis=1), verbose=0)
    >>> 1e-3 < curve.suggest() < 1
    True
    """
    check_settings(model, min_lr, max_lr, num_steps, probe_steps, verbose, fit_arguments)
    check_data(x, y, fit_arguments.get("sample_weight"))
    inputs, labels, x = first_batch(x, y)
    check_labels(model, labels, in_batches=not are_arrays(x))
    if not are_arrays(x):
        # Keras would warn that its own default means nothing here.
        fit_arguments.setdefault("shuffle", False)
    if not model.built:
        model(inputs)
    progress = keras.utils.Progbar(num_steps, unit_name="step") if verbose else None

    with borrow(model) as borrowed:
        momentum = momentum_of(model.optimizer)
        only_once = [borrowed.note_random_state]

        def run(rate_of: Callable[[int], float], record: Callable[[float], bool]) -> _RateByRate:
            trainer = _RateByRate(rate_of, record, only_once.pop() if only_once else None)
            every_callback = [trainer, *keras.tree.flatten(callbacks or [])]
            try:
                model.fit(x, y, epochs=_FOR_EVER, verbose=0, callbacks=every_callback, **fit_arguments)
            finally:
                trainer.close()
                borrowed.rewind()
            return trainer

        for _ in range(_RESTARTS + 1):
            plan = SweepPlan(min_lr, max_lr, num_steps, extend_to=max_lr * 10**_DECADES_HIGHER)
            trainer = run(plan.rate, partial(_note, plan, progress))
            if not plan.diverged_at_once:
                break
            min_lr, max_lr = min_lr / 10**_DECADES_LOWER, max_lr / 10**_DECADES_LOWER

        if plan.end is SweepEnd.NOT_FINITE:
            counts = {name: count_not_finite(part) for name, part in (("x", x), ("y", y))}
            if plan.diverged_at_once or any(num_bad for num_bad, _ in counts.values()):
                # As many batches again (of arrays, the same ones), all at the lowest rate: is it the rate?
                trial = _Trial(plan.rate(0), len(plan.rates) + 1)
                run(trial.rate_of, trial.record)
                if trial.diverged:
                    raise LossNotFiniteError(_not_the_rate(trial, counts))

        probes = []
        if probe_steps and len(plan.rates) >= MIN_POINTS:
            for rate in candidates(np.array(plan.rates), np.array(plan.losses), momentum):
                trial = _Trial(rate, probe_steps)
                run(trial.rate_of, trial.record)
                probes.append(Probe(rate, tuple(trial.losses), trial.diverged))
        if progress:
            progress.update(num_steps, finalize=True)
    return LRCurve(
        rates=tuple(plan.rates),
        losses=tuple(plan.losses),
        probes=tuple(probes),
        end=(plan.end or SweepEnd.OUT_OF_DATA).value,
        updates_per_epoch=trainer.updates_per_epoch,
        momentum=momentum,
    )


def _not_the_rate(trial: _Trial, counts: Mapping[str, tuple[int, int]]) -> str:
    """What is said of a loss that is not a number at the lowest rate; `counts` as `count_not_finite` tells them."""
    bad = [f"{count} of {total} samples of `{name}`" for name, (count, total) in counts.items() if count]
    if bad:
        blame = f"There is NaN or infinity in {' and in '.join(bad)}."
    elif counts["x"][1]:
        blame = "Inputs and labels are finite, so it begins in the model: in its weights, in a layer or in the loss."
    else:
        blame = "NaN in the inputs or labels is to blame, or the model: its weights, a layer or the loss."
    return (
        f"The loss was NaN or infinite at the lowest rate, {trial.rate:.2g}, already (in update "
        f"{len(trial.losses) + 1}): no rate helps. {blame} `keras_clr.diagnose` tells where it begins."
    )


def _note(plan: SweepPlan, progress: Any, loss: float) -> bool:
    plan.record(loss)
    if progress is not None:
        progress.update(min(len(plan.rates), plan.num_steps - 1))
    return plan.end is None


class _Trial:
    """Losses of a short training at one rate."""

    def __init__(self, rate: float, num_steps: int) -> None:
        self.rate = rate
        self.num_steps = num_steps
        self.losses: list[float] = []
        self.diverged = False

    def rate_of(self, update: int) -> float:  # noqa: ARG002
        """The rate of an update."""
        return self.rate

    def record(self, loss: float) -> bool:
        """Notes a loss; False when it is over."""
        if not math.isfinite(loss):
            self.diverged = True
            return False
        self.losses.append(loss)
        return len(self.losses) < self.num_steps


class _RateByRate(keras.callbacks.Callback):
    """Trains each update at the rate that it is told, and tells the update's true loss."""

    def __init__(
        self,
        rate_of: Callable[[int], float],
        record: Callable[[float], bool],
        when_begun: Callable[[], None] | None,
    ) -> None:
        super().__init__()
        self._when_begun = when_begun
        self._rate_of = rate_of
        self._record = record
        self._num_ended = 0
        self._losses: deque[Any] = deque()
        self._window: list[float] = []
        self._over = False
        self._open: list[Any] = []
        self.updates_per_epoch: float | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Takes hold of the model's training step."""
        if self._when_begun is not None:
            self._when_begun()
        model = self.model
        self._accumulation = accumulation_steps(model.optimizer)
        self._writer = learning_rate_writer(model)
        self._open.append(self._writer)
        self._batch_loss = BatchLoss(model)
        self._open.append(self._batch_loss)
        if self.params.get("steps"):
            self.updates_per_epoch = self.params["steps"] / self._accumulation

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Sets the rate."""
        self._batch_loss.forget()
        # By the batches that have ended: one that begins may not be there.
        self._writer.write(self._rate_of(self._num_ended // self._accumulation))

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Looks at the loss of a batch some time ago: of this one, it would have to wait for the device."""
        self._num_ended += 1
        self._losses.append((logs or {})["loss"])
        if len(self._losses) > _BATCHES_AHEAD:
            self._take(self._losses.popleft())

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        """Looks at those that are left, where the data ended first."""
        while self._losses:
            self._take(self._losses.popleft())

    def _take(self, loss: Any) -> None:
        """Hands on the loss once an update is complete; what was trained after the end does not count."""
        self._window.append(float(loss))
        if self._over or len(self._window) < self._accumulation:
            return
        mean, self._window = sum(self._window) / self._accumulation, []
        if not self._record(mean):
            self._over = self.model.stop_training = True

    def close(self) -> None:
        """Gives the training step back, in the reverse order."""
        while self._open:
            self._open.pop().close()
