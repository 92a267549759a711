"""Fewer runs than the page says, and the study that it is compared with."""

from unittest import mock

import keras_clr

_study = keras_clr.study


def fewer(*arguments, **options):
    """Three runs of two epochs."""
    return _study(*arguments, **{**options, "runs": 3, "epochs": 2, "verbose": 0})


def build_small():
    """The model after the change."""
    copy = keras.models.clone_model(model)  # noqa: F821
    copy.compile(optimizer="sgd", loss=loss, metrics=["accuracy"])  # noqa: F821
    return copy


after = fewer(build_small, x, y, validation_split=0.25)  # noqa: F821
undo.enter_context(mock.patch.object(keras_clr, "study", fewer))  # noqa: F821
