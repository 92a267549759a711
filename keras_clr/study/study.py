"""`study`: trains many times, and tells how often it got stuck."""

from __future__ import annotations

import inspect
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_clr._errors import KerasCLRWarning
from keras_clr._extras import import_extra
from keras_clr.cyclic.policies import check_choice
from keras_clr.stuck.detector import StuckDetector
from keras_clr.study.data import StudyData
from keras_clr.study.dispatch import Dispatcher, pickled
from keras_clr.study.plan import VARY, plan_run
from keras_clr.study.result import Study
from keras_clr.study.run import Run
from keras_clr.study.settings import describe_settings, differences
from keras_clr.study.training import Job, KerasSettings, fresh_callbacks

_OF_THE_DETECTOR = ("probe_data", "false_alarm", "margin")


def study(
    build_model: Callable[[], Any],
    x: Any,
    y: Any = None,
    *,
    runs: int = 20,
    vary: str = "shuffle",
    seed: int = 0,
    n_jobs: int | None = None,
    save_to: str | os.PathLike[str] | None = None,
    stop_frozen: bool = False,
    detector: Mapping[str, Any] | None = None,
    callbacks: Any = None,
    verbose: int = 1,
    **fit_arguments: Any,
) -> Study:
    """Trains a model many times and tells how often it got stuck, why, and how the results spread.

    Only what `vary` says differs between the runs. Each has a `StuckDetector`. They run in worker processes with one
    thread each; results are the same bit for bit for any number of workers. Under
    `joblib.parallel_config(backend="ray")` or `"dask"` the runs spread over the workers of that cluster.

    A run that raises, ends as NaN, or whose process dies is reported as such, and the others go on. On Ctrl-C the runs
    so far are in `save_to`, and as attribute `study` of the `KeyboardInterrupt`.

    Args:
        build_model: Function without arguments that returns a compiled `keras.Model`; called once in each run, and
            twice beforehand to check it. It should leave seeds to the study.
        x: Inputs: an array, or a list or dict of arrays. They are shuffled here, by the same rule on every backend. Or,
            for data that do not fit in memory, a function that takes the seed of an order (an integer) and returns what
            `fit` takes, with labels; it is called in the worker, and once beforehand.
        y: Labels, as for `fit`. Left out where `x` is a function.
        runs: How many, >= 1. Defaults to 20.
        vary: What differs: "shuffle", the order of the samples, with the same initial weights, and the same seeds of
            dropout; "init", the initial weights and the seeds of dropout, with the same order; or "both". Defaults to
            "shuffle".
        seed: Integer >= 0 from which the seeds of run 0, 1, 2, ... follow. Defaults to 0.
        n_jobs: Runs at a time, as in joblib: -1 is one for each core. None takes that of an enclosing
            `joblib.parallel_config`, or -1. With a GPU, 1.
        save_to: JSON file that holds the study after each run. If it exists and has runs of the same settings, they are
            not run again, but for those that failed. More than `runs` stay in the file.
        stop_frozen: Whether to end a run as soon as it is called frozen or diverged. Defaults to False.
        detector: Arguments of `StuckDetector`: "probe_data", "false_alarm", "margin". By default the probe is `(x, y)`;
            `{"probe_data": None}` for labels that it refuses.
        callbacks: A list of callbacks, of which each run gets its own copy in its present state, or a function that
            returns a fresh list.
        verbose: 1 for a progress bar, 0 for nothing. Defaults to 1.
        **fit_arguments: As for `fit`: `epochs`, `batch_size`, `validation_data`, `validation_split`, `class_weight`,
            `sample_weight`, ... `shuffle=False` needs vary="init".

    Returns:
        The `Study`.

    Raises:
        ValueError: If an argument is out of range, `build_model` returns the same model twice, or `save_to` holds
            another study. Before anything is trained.
        TypeError: If `build_model` returns no model, or something cannot be sent to a worker.
        ImportError: If joblib or scipy is not installed.

    Example:
    >>> import keras, keras_clr, numpy as np
    >>> x = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> def build_model():
    ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="sigmoid")])
    ...     model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    ...     return model
    >>> y = (x[:, 0] > 0).astype(int)
    >>> result = keras_clr.study(build_model, x, y, runs=2, epochs=2, n_jobs=1, verbose=0)
    >>> result
    Study(2 runs, 0 of 2 stuck, 0 failed)
    """
    _check(build_model, runs, vary, seed, detector, verbose, fit_arguments)
    for module in ("joblib", "scipy.stats"):
        import_extra(module, "study", "A study")
    data = StudyData.from_arguments(x, y, vary, fit_arguments)
    plans = [plan_run(index, vary, seed) for index in range(runs)]
    fresh_callbacks(callbacks)
    of_detector = {"on_stuck": "stop" if stop_frozen else "warn", **(detector or {})}
    probe_data = of_detector.get("probe_data", data.probe_data(plans[0].order_seed))
    StuckDetector(**{**of_detector, "probe_data": probe_data})
    if data.training is None:
        # Made once, not in each run.
        of_detector["probe_data"] = probe_data
    settings = describe_settings(build_model, data, plans, vary, seed, of_detector, callbacks, fit_arguments)
    collected = {} if save_to is None else _continue(Path(save_to), settings)
    todo = [plan for plan in plans if plan.index not in collected]

    skeleton, arrays = data.detach()
    sent = {"build_model": build_model, "x": data.make, "callbacks": callbacks, "detector": of_detector}
    pickled({**sent, "validation_data": skeleton.validation, **fit_arguments})
    job = Job(build_model, skeleton, callbacks, fit_arguments, of_detector, KerasSettings.current())
    dispatch = Dispatcher(pickled({"build_model": job})["build_model"], arrays, keras.backend.backend(), n_jobs)
    progress = keras.utils.Progbar(runs, unit_name="run") if verbose else None

    def so_far() -> Study:
        return Study(settings, tuple(collected[index] for index in sorted(collected)))

    try:
        for number, outcome in dispatch(todo) if todo else ():
            collected[todo[number].index] = Run.from_outcome(todo[number], outcome)
            if save_to is not None:
                so_far().save(save_to)
            if progress is not None:
                progress.update(sum(index < runs for index in collected))
    except KeyboardInterrupt as interrupt:
        interrupt.__dict__["study"] = so_far()
        raise
    result = Study(settings, tuple(run for run in so_far().runs if run.index < runs))
    for remark in result.remarks():
        warnings.warn(remark, KerasCLRWarning, stacklevel=2)
    return result


def _check(
    build_model: Any,
    runs: int,
    vary: str,
    seed: int,
    detector: Mapping[str, Any] | None,
    verbose: int,
    fit_arguments: Mapping[str, Any],
) -> None:
    if not callable(build_model) or isinstance(build_model, keras.Model):
        raise TypeError(
            "Argument `build_model` must be a function that returns a compiled model, a new one each time. "
            f"Received: {type(build_model).__name__}"
        )
    numbers = [
        (name, fit_arguments[name], 1) for name in ("epochs", "batch_size") if fit_arguments.get(name) is not None
    ]
    for name, value, least in (("runs", runs, 1), ("seed", seed, 0), *numbers):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"Argument `{name}` must be an integer >= {least}. Received: {name}={value!r}")
    check_choice("vary", vary, VARY)
    check_choice("verbose", verbose, (0, 1))
    if not isinstance(detector, (Mapping, type(None))):
        raise TypeError(f"Argument `detector` must be a dict of arguments of StuckDetector. Received: {detector!r}")
    for name in detector or {}:
        check_choice("detector", name, _OF_THE_DETECTOR)
    known = inspect.signature(keras.Model.fit).parameters
    for name in fit_arguments:
        if name not in known or name == "initial_epoch":
            raise ValueError(f"Argument `{name}` is none of `study`, and none that `fit` could use here.")


def _continue(path: Path, settings: Mapping[str, Any]) -> dict[int, Run]:
    """The runs with a result in a file; writes one without runs if there is none.

    Raises:
        ValueError: If it holds another study.
        OSError: If it cannot be written.
    """
    if not path.exists():
        Study(settings, ()).save(path)
        return {}
    before = Study.load(path)
    changed = differences(before.settings, settings)
    if changed:
        raise ValueError(
            f"{path} holds another study. Different: {'; '.join(changed)}. Name another file, or delete this one."
        )
    return {run.index: run for run in before.results}
