"""The one place that decides which Keras is meant: Keras 3, Keras 2, or `tf_keras`, and what their names are.

Modules that work with all three take `keras` and `ops` from here; the others import Keras 3 themselves, and
`keras_clr/__init__.py` does not import them where it is missing.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

import numpy as np

OLDEST_KERAS_3 = (3, 12)
_OLDEST_KERAS_2 = (2, 12)
_KERAS_3 = f"Keras {OLDEST_KERAS_3[0]}.{OLDEST_KERAS_3[1]} or later"
_NEEDED = f"keras-clr needs {_KERAS_3}, Keras 2.12 to 2.15, or tf_keras with TF_USE_LEGACY_KERAS=1"


def _version(module: Any) -> tuple[int, int]:
    major, minor = module.__version__.split(".")[:2]
    return int(major), int(minor)


def _chosen() -> tuple[Any, str, tuple[int, int]]:
    """The module, what it is called with its version, and the version.

    Raises:
        ImportError: If there is none that keras-clr works with.
    """
    # As TensorFlow decides what `tf.keras` is.
    legacy = os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "True", "true")
    name = "tf_keras" if legacy else "keras"
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if not legacy or error.name != name:
            raise
        # TensorFlow up to 2.14 does not look at that variable: its `keras` is the one meant.
        name, module = "keras", importlib.import_module("keras")
        if _version(module) >= (3, 0):
            raise ImportError(
                "TF_USE_LEGACY_KERAS is set, and tf_keras is not installed. Install it with: pip install tf_keras, or "
                "unset the variable"
            ) from error
    version = _version(module)
    found = f"{name} {module.__version__}"
    if not (_OLDEST_KERAS_2 <= version < (3, 0) or version >= OLDEST_KERAS_3):
        raise ImportError(f"{_NEEDED}. Found {found}")
    if version < (2, 13):
        # Keras 2.12: the module `keras` is the sources, and lacks most public names.
        module = importlib.import_module("tensorflow").keras
    return module, found, version


keras, FOUND, _VERSION = _chosen()
KERAS_2 = _VERSION < (3, 0)
# Keras 2 has no `keras.ops`.
ops: Any = importlib.import_module("keras_clr._keras.tensorflow_ops") if KERAS_2 else keras.ops
# Keras 2.12 has these two without public names.
_serialization = importlib.import_module("keras.saving.serialization_lib") if _VERSION < (2, 13) else keras.saving
serialize_keras_object = _serialization.serialize_keras_object
deserialize_keras_object = _serialization.deserialize_keras_object


def raw(variable: Any) -> Any:
    """The TensorFlow variable behind a variable of Keras 3; Keras 2 has no variables of its own."""
    return variable if KERAS_2 else variable.value


def to_array(variable: Any) -> np.ndarray:
    """The value of a variable, mirrored over replicas or not."""
    # Keras 2: a mirrored variable of TensorFlow is no array to numpy.
    return np.asarray(variable.numpy() if KERAS_2 else variable)


def keras_3_only(name: str) -> ImportError:
    """What is raised for a public name that only Keras 3 can have."""
    return ImportError(
        f"keras_clr.{name} needs {_KERAS_3}. Found {FOUND}, with which CyclicLR, CyclicSchedule, OneCycleLR and "
        "OneCycleSchedule work"
    )
