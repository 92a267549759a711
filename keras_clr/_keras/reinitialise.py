"""Initial weights of a built model, drawn anew from another seed."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_clr._keras.random_state import capture_random_state
from keras_clr._keras.tensors import to_numpy


def fresh_weights(model: Any, seed: int) -> list[np.ndarray]:
    """What the trainable weights could have been, had the model been built with another seed.

    Every layer that owns trainable weights is made and built once more from its configuration, with other seeds in
    its initialisers. The model and all random states stay as they are.

    Args:
        model: A built model.
        seed: Another seed, other weights; the same seed, the same weights.

    Returns:
        Arrays in the order of `model.trainable_variables`.

    Raises:
        ValueError: If a layer cannot be made once more from its configuration.
    """
    restore_random_state = capture_random_state()
    fresh: dict[int, np.ndarray] = {}
    try:
        for place, layer in enumerate(_owners(model)):
            twin = _twin(layer, (seed, place))
            for variable, new in zip(layer._trainable_variables, twin._trainable_variables, strict=True):
                fresh[id(variable)] = to_numpy(new)
    finally:
        restore_random_state()
    missing = [variable.path for variable in model.trainable_variables if id(variable) not in fresh]
    if missing:
        raise ValueError(f"No layer owns these trainable weights, so they cannot be drawn anew: {missing}")
    return [fresh[id(variable)] for variable in model.trainable_variables]


def _owners(model: Any) -> Iterator[Any]:
    """The layers that own trainable weights directly, the model itself included."""
    for layer in model._flatten_layers():
        if layer._trainable_variables:
            yield layer


def _twin(layer: Any, seeds: tuple[int, ...]) -> Any:
    try:
        twin = type(layer).from_config(_reseeded(layer.get_config(), seeds))
        twin.build_from_config(layer.get_build_config())
        if len(twin._trainable_variables) != len(layer._trainable_variables):
            raise ValueError(f"it has {len(twin._trainable_variables)} weights after building")
    except Exception as error:  # whatever a user's layer may raise
        raise ValueError(
            f"The weights of layer '{layer.name}' ({type(layer).__name__}) cannot be drawn anew: it cannot be made "
            f"once more from its configuration ({error}). Give it a `get_config`, or use on_stuck='stop' and start "
            "anew yourself."
        ) from error
    return twin


def _reseeded(config: Any, seeds: tuple[int, ...]) -> Any:
    """The configuration with another seed wherever one is, even a fixed one."""
    if isinstance(config, (list, tuple)):
        return type(config)(_reseeded(part, (*seeds, i)) for i, part in enumerate(config))
    if not isinstance(config, dict):
        return config
    parts = {}
    for key, value in config.items():
        path = (*seeds, zlib.crc32(str(key).encode()))
        is_seed = key == "seed"
        parts[key] = int(np.random.SeedSequence(path).generate_state(1)[0] >> 1) if is_seed else _reseeded(value, path)
    return parts
