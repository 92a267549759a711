"""The random state outside a model: what decides over shuffling, and over layers without a seed of their own."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np


def capture_random_state() -> Callable[[], None]:
    """Notes the random state of Python, numpy, Keras and the backend.

    Returns:
        A function that gives it back.
    """
    python, numpy = random.getstate(), np.random.get_state()
    give_back = [lambda: random.setstate(python), lambda: np.random.set_state(numpy), *_keras_global_seed()]
    if keras.backend.backend() == "tensorflow":
        give_back += _tensorflow()
    elif keras.backend.backend() == "torch":
        import torch

        state = torch.random.get_rng_state()
        give_back.append(lambda: torch.random.set_rng_state(state))

    def restore() -> None:
        for function in give_back:
            function()

    return restore


def _keras_global_seed() -> list[Callable[[], None]]:
    # `keras.random` without a seed draws from one global generator, which only this private module knows.
    try:
        from keras.src.backend.common import global_state
    except ImportError:
        return []
    generator = global_state.get_global_attribute("global_seed_generator")
    if generator is None:
        # It comes into being when it is first needed, from Python's random state.
        return [lambda: global_state.set_global_attribute("global_seed_generator", None)]
    state = np.array(keras.ops.convert_to_numpy(generator.state))
    return [lambda: generator.state.assign(state)]


def _tensorflow() -> list[Callable[[], None]]:
    # Operations without a seed (the shuffling of arrays in `fit`) take theirs from this generator of the context.
    try:
        from tensorflow.python.eager import context
    except ImportError:
        return []
    generator: Any = getattr(context.context(), "_rng", None)
    if generator is None:
        return []
    state = generator.getstate()
    return [lambda: generator.setstate(state)]
