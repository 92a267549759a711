"""The arguments of `find_lr`: all that can be refused before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_clr._keras.compiled import check_compiled, given_loss, read_loss
from keras_clr.cyclic.arguments import number
from keras_clr.cyclic.policies import check_choice
from keras_clr.finder.data import (
    are_arrays,
    check_input_numbers,
    check_numbers,
    check_rows,
    check_source,
    count_not_finite,
)
from keras_clr.finder.plan import MIN_POINTS

_NOT_FOR_A_SWEEP = {
    "epochs": "the number of steps decides how long it lasts",
    "initial_epoch": "it starts where the model is",
    "validation_data": "it looks at training losses",
    "validation_split": "it looks at training losses; pass the training part only",
    "validation_freq": "it looks at training losses",
    "validation_steps": "it looks at training losses",
    "validation_batch_size": "it looks at training losses",
}


def check_settings(
    model: Any,
    min_lr: float,
    max_lr: float,
    num_steps: int,
    probe_steps: int,
    verbose: int,
    fit_arguments: Mapping[str, Any],
) -> None:
    """Refuses what is out of range or would be ignored.

    Raises:
        ValueError: If an argument is, or the model is not compiled.
        TypeError: If a rate is not a number.
    """
    check_compiled(model)
    if not 0 < number("min_lr", min_lr) < number("max_lr", max_lr):
        raise ValueError(f"Arguments must be 0 < min_lr < max_lr, finite. Received: min_lr={min_lr}, max_lr={max_lr}")
    _check_count("num_steps", num_steps, MIN_POINTS)
    _check_count("probe_steps", probe_steps, 0)
    for name in ("batch_size", "steps_per_epoch"):
        if fit_arguments.get(name) is not None:
            _check_count(name, fit_arguments[name], 1)
    check_choice("verbose", verbose, (0, 1))
    for name, reason in _NOT_FOR_A_SWEEP.items():
        if name in fit_arguments:
            raise ValueError(f"Argument `{name}` has no meaning for `find_lr`: {reason}. Leave it out.")


def check_data(x: Any, y: Any, sample_weight: Any) -> None:
    """Refuses what `fit` would not take, arrays of no samples or of different numbers of them among it.

    Raises:
        ValueError: If so.
    """
    check_source(x, y)
    if not are_arrays(x):
        return
    for name, part in (("x", x), ("y", y)):
        leaves = [leaf for leaf in keras.tree.flatten(part) if leaf is not None]
        others = [type(leaf).__name__ for leaf in leaves if not hasattr(leaf, "shape")]
        if part is not None and (others or not leaves):
            raise ValueError(
                f"Argument `{name}` must be an array, or a list or dict of arrays. Received: a {type(part).__name__} "
                f"of {others[0] if others else 'nothing'}. Of a list of numbers, `np.asarray({name})` makes an array."
            )
    parts = {"x": x, "y": y, "sample_weight": sample_weight}
    given = " and ".join(f"`{name}`" for name, part in parts.items() if part is not None)
    if not check_rows(f"Arguments {given}", **parts):
        raise ValueError("Argument `x` must have at least one sample. Received: 0 samples")
    check_input_numbers(x)


def check_labels(model: Any, labels: Any, in_batches: bool) -> None:
    """Refuses labels that the compiled losses cannot take: none, text, NaN. A loss of one's own may take the last.

    Args:
        model: A compiled model.
        labels: All labels of arrays, those of a first batch otherwise.
        in_batches: Which of them these are.

    Raises:
        ValueError: If so.
    """
    losses = [loss for loss in keras.tree.flatten(given_loss(model)) if loss is not None]
    if not losses:
        return
    if labels is None and in_batches:
        raise ValueError(
            "Argument `x` must give tuples (inputs, labels), since the model has a loss. Received: batches without "
            "labels"
        )
    if labels is None:
        raise ValueError("Argument `y` must be given with arrays, since the model has a loss. Received: y=None")
    check_numbers("y", labels)
    num_bad, num_samples = count_not_finite(labels)
    kinds = [read_loss(loss, False, 2) for loss in losses] if num_bad else []
    if num_bad and all(kind is not None and kind.kind != "other" for kind in kinds):
        where = "Labels in argument `x`" if in_batches else "Argument `y`"
        raise ValueError(
            f"{where} must be finite. Received: NaN or infinity in {num_bad} of {num_samples} samples. The losses of "
            "Keras do not leave them out"
        )


def _check_count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"Argument `{name}` must be an integer >= {least}. Received: {name}={value!r}")
