"""What must be the same for a study to be continued, as plain values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import keras

from keras_clr._errors import attempt
from keras_clr._keras.random_state import capture_random_state
from keras_clr.study.data import StudyData
from keras_clr.study.plan import RunPlan
from keras_clr.study.training import built_model, fresh_callbacks


def describe_settings(
    build_model: Callable[[], Any],
    data: StudyData,
    plans: Sequence[RunPlan],
    vary: str,
    seed: int,
    detector: Mapping[str, Any],
    callbacks: Any,
    fit_arguments: Mapping[str, Any],
) -> dict[str, Any]:
    """Everything that decides over the runs, but for their number and how they are spread over processes.

    Raises:
        TypeError: If `build_model` returns no model.
        ValueError: If its model is not compiled, or not a new one each time.
    """
    settings = {
        "vary": vary,
        "seed": seed,
        "backend": keras.backend.backend(),
        "keras": keras.__version__,
        "model": _fingerprint_of_model(build_model, data, plans),
        "data": data.fingerprint(),
        "fit": dict(fit_arguments),
        # With another probe only other samples of the same data are looked at.
        "detector": {name: value for name, value in detector.items() if name != "probe_data"},
        "callbacks": [_describe_callback(callback) for callback in fresh_callbacks(callbacks)],
    }
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=_name))
    return plain


def different_names(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Names of what is not the same; of the arguments of `fit`, which."""
    names = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    of_fit = different_names(before.get("fit", {}), now.get("fit", {})) if "fit" in names else []
    return [name for name in names if name != "fit"] + of_fit


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What is not the same, in words."""
    before, now = ({**settings, **settings.get("fit", {})} for settings in (before, now))
    return [f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in different_names(before, now)]


def _fingerprint_of_model(build_model: Callable[[], Any], data: StudyData, plans: Sequence[RunPlan]) -> str:
    """Of the model's architecture, optimizer, loss and metrics, as far as Keras can write them down."""
    restore_random_state = capture_random_state()
    try:
        model = _first_that_builds(build_model, data, plans)
    finally:
        restore_random_state()
    parts = [
        type(model).__name__,
        [str(tuple(variable.shape)) for variable in model.variables],
        attempt(model.get_config)[0],
        attempt(model.get_compile_config)[0],
        attempt(model.optimizer.get_config)[0],
    ]
    text = json.dumps(parts, sort_keys=True, default=_name)
    # Names that count how many layers there were before.
    return sha256(re.sub(r"_\d+\b", "", text).encode()).hexdigest()[:16]


def _first_that_builds(build_model: Callable[[], Any], data: StudyData, plans: Sequence[RunPlan]) -> Any:
    """A builder may fail with some seeds: those runs report it. One that fails with all of them is no builder."""
    tried: dict[int, Exception] = {}
    for plan in plans:
        if plan.init_seed not in tried:
            try:
                model = built_model(build_model, data, plan)
                is_new = build_model() is not model
            except Exception as error:  # whatever a user's function may raise
                tried[plan.init_seed] = error
            else:
                if not is_new:
                    raise ValueError(
                        "Argument `build_model` must return a new model each time it is called. "
                        f"Received: the same model, '{model.name}', twice. Build and compile it inside the function."
                    )
                return model
    first = tried[plans[0].init_seed]
    first.add_note("build_model raised this before anything was trained.")
    raise first


def _describe_callback(callback: Any) -> dict[str, Any]:
    """Its class, and those of its settings that are plain values."""
    values = {name: value for name, value in vars(callback).items() if not name.startswith("_")}
    return {type(callback).__name__: {k: v for k, v in values.items() if isinstance(v, (int, float, str))}}


def _name(value: Any) -> str:
    """Of what JSON does not have: without the address in memory that `repr` may have."""
    return str(getattr(value, "__name__", None) or re.sub(r" at 0x[0-9a-f]+", "", repr(value)))
