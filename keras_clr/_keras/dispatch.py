"""How Keras calls the batch hooks of our callbacks."""

from __future__ import annotations

from typing import Any

from keras_clr._keras.api import KERAS_2, keras, to_array


def end_hooks_in_threads() -> bool:
    """Whether an end hook that only takes notes gains from being run in a thread (a callback's `async_safe`).

    JAX goes on dispatching steps meanwhile. TensorFlow calls hooks in order anyway. torch on a CPU has finished
    the step when the hook is due: there the threads only cost (a tenth of a short step was measured).
    """
    if keras.backend.backend() != "torch":
        return True
    import torch

    return bool(torch.accelerator.is_available())


def steps_per_execution(model: Any) -> int:
    """Batches between two calls of a hook; with "auto" (Keras 2.14 and later 2.x), at this moment."""
    # Keras 2 keeps it in a variable without a public name.
    steps = to_array(model._steps_per_execution) if KERAS_2 else model.steps_per_execution
    return int(steps) or 1
