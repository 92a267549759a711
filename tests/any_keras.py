"""The Keras that the tests run on, by the names of Keras 3: `keras`, or `tf_keras` with TF_USE_LEGACY_KERAS.

It chooses by itself, not by what keras_clr chose.
"""

import importlib
import os
import warnings

LEGACY = os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "True", "true")
NAME = "tf_keras" if LEGACY else "keras"
with warnings.catch_warnings():
    # Old TensorFlows are full of what Python has deprecated since.
    warnings.simplefilter("ignore")
    keras = importlib.import_module(NAME)
VERSION = tuple(int(number) for number in keras.__version__.split(".")[:2])
KERAS_2 = VERSION < (3, 0)
FOUND = f"{NAME} {keras.__version__}"

if KERAS_2:
    import tensorflow as tf

    if VERSION < (2, 13):
        keras = tf.keras  # There, `keras` is the sources.
    mean = tf.reduce_mean
    to_tensor = tf.convert_to_tensor
    set_floatx = keras.backend.set_floatx
    set_dtype_policy = keras.mixed_precision.set_global_policy
    enable_interactive_logging = keras.utils.enable_interactive_logging
    disable_interactive_logging = keras.utils.disable_interactive_logging
    LossScaleOptimizer = keras.mixed_precision.LossScaleOptimizer
    PyDataset = keras.utils.Sequence
    Variable = tf.Variable
else:
    mean = keras.ops.mean
    to_tensor = keras.ops.convert_to_tensor
    set_floatx = keras.config.set_floatx
    set_dtype_policy = keras.config.set_dtype_policy
    enable_interactive_logging = keras.config.enable_interactive_logging
    disable_interactive_logging = keras.config.disable_interactive_logging
    LossScaleOptimizer = keras.optimizers.LossScaleOptimizer
    PyDataset = keras.utils.PyDataset
    Variable = keras.Variable


serialization = importlib.import_module("keras.saving.serialization_lib") if VERSION < (2, 13) else keras.saving
serialize_keras_object = serialization.serialize_keras_object
deserialize_keras_object = serialization.deserialize_keras_object


# What makes `model.save` write the format that is Keras 3's only one.
KERAS_FORMAT = {"save_format": "keras_v3"} if VERSION < (2, 13) else {}


def to_numpy(tensor):
    """A tensor or a variable as an array."""
    return tensor.numpy() if KERAS_2 else keras.ops.convert_to_numpy(tensor)


def dtype_of(tensor):
    """The name of a type of numbers."""
    return tensor.dtype.name if KERAS_2 else keras.backend.standardize_dtype(tensor.dtype)


def path_of(variable):
    """What a variable is called."""
    return variable.name if KERAS_2 else variable.path


def accumulating(steps=None):
    """The argument of an optimizer that accumulates; Keras 2 does not know it."""
    return {} if KERAS_2 and steps is None else {"gradient_accumulation_steps": steps}
