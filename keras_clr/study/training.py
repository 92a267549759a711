"""One run of a study, in a worker process: build, train, look."""

from __future__ import annotations

import hashlib
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from keras_clr._errors import StuckTrainingWarning
from keras_clr._keras.tensors import to_numpy
from keras_clr._keras.threads import use_one_thread
from keras_clr.stuck.detector import StuckDetector
from keras_clr.study.data import OrderedBatches, StudyData
from keras_clr.study.plan import RunPlan


@dataclass(frozen=True)
class KerasSettings:
    """What `keras.config` says, to be the same in every process."""

    floatx: str
    epsilon: float
    image_data_format: str
    dtype_policy: str

    @classmethod
    def current(cls) -> KerasSettings:
        """Those of this process."""
        config = keras.config
        return cls(
            config.floatx(),
            config.epsilon(),
            config.image_data_format(),
            config.dtype_policy().name,
        )

    def apply(self) -> None:
        """Makes them this process' own."""
        config = keras.config
        config.set_floatx(self.floatx)
        config.set_epsilon(self.epsilon)
        config.set_image_data_format(self.image_data_format)
        config.set_dtype_policy(self.dtype_policy)


@dataclass(frozen=True, eq=False)
class Job:
    """What all runs of a study have in common.

    Attributes:
        build_model: Makes a compiled model.
        data: Without its arrays, which are sent beside it.
        callbacks: A list of callbacks, or a function that makes one.
        fit_arguments: Further arguments of `fit`.
        detector: Arguments of `StuckDetector`.
        keras_settings: Of the process that asked for the study.
    """

    build_model: Callable[[], Any]
    data: StudyData
    callbacks: Any
    fit_arguments: Mapping[str, Any]
    detector: Mapping[str, Any]
    keras_settings: KerasSettings

    def __call__(self, arrays: Sequence[np.ndarray], plan: RunPlan) -> dict[str, Any]:
        """Trains once and tells what happened, as plain values. Called in the worker, each time on a fresh copy."""
        start = time.perf_counter()
        self.keras_settings.apply()
        use_one_thread()
        return {**self.train(arrays, plan), "seconds": time.perf_counter() - start}

    def train(self, arrays: Sequence[np.ndarray], plan: RunPlan) -> dict[str, Any]:
        """Trains once, with whatever settings and threads this process has."""
        data = self.data.attach(arrays)
        history = keras.callbacks.History()
        detector = StuckDetector(**{"probe_data": data.probe_data(plan.order_seed), **self.detector})
        record: dict[str, Any] = {}
        try:
            keras.utils.clear_session()
            model = built_model(self.build_model, data, plan)
            record["initial_state"] = state_hash(model)
            batches = data.for_fit(plan.order_seed)
            callbacks = [*fresh_callbacks(self.callbacks), detector, history]
            if isinstance(batches, OrderedBatches):
                callbacks.insert(0, keras.callbacks.LambdaCallback(on_epoch_begin=lambda e, _: batches.begin_epoch(e)))
            keras.utils.set_random_seed(plan.training_seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", StuckTrainingWarning)  # It is in the record.
                model.fit(
                    batches,
                    validation_data=data.validation,
                    callbacks=callbacks,
                    verbose=0,
                    **{"shuffle": False, **self.fit_arguments},
                )
        except (Exception, SystemExit):  # whatever a user's model or data may raise
            record["error"] = traceback.format_exc()
        curves = {name: [float(value) for value in values] for name, values in history.history.items()}
        return {
            **record,
            "curves": curves,
            "stuck_epoch": detector.stuck_epoch_,
            "diagnosis": None if detector.diagnosis_ is None else detector.diagnosis_.to_dict(),
        }


def built_model(build_model: Callable[[], Any], data: StudyData, plan: RunPlan) -> Any:
    """A compiled model with weights, drawn from the seed of the plan.

    Raises:
        TypeError: If it is no model.
        ValueError: If it is not compiled.
    """
    keras.utils.set_random_seed(plan.init_seed)
    model = build_model()
    if not isinstance(model, keras.Model):
        raise TypeError(f"Argument `build_model` must return a keras.Model. Received: {type(model).__name__}")
    if not getattr(model, "compiled", False):
        raise ValueError(
            f"Argument `build_model` must return a compiled model. Received: '{model.name}' without optimizer and "
            "loss. Call `model.compile(optimizer=..., loss=...)` in it."
        )
    if not model.built:
        inputs = data.probe_data(plan.order_seed)[0]
        model(keras.tree.map_structure(lambda array: array[:1], inputs))
    return model


def state_hash(model: Any) -> str:
    """Another one for other weights or seeds of layers."""
    digest = hashlib.sha256()
    for variable in model.variables:
        digest.update(np.ascontiguousarray(to_numpy(variable)).tobytes())
    return digest.hexdigest()[:16]


def fresh_callbacks(callbacks: Any) -> list[Any]:
    """A flat list of callbacks.

    Raises:
        TypeError: If there is something else in it.
    """
    made: list[Any] = keras.tree.flatten(callbacks() if callable(callbacks) else callbacks or [])
    for callback in made:
        if not isinstance(callback, keras.callbacks.Callback):
            raise TypeError(
                "Argument `callbacks` must be a list of Keras callbacks, or a function that returns one. "
                f"Received: {callback!r}"
            )
    return made
