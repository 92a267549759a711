"""A number that a compiled step reads anew, in the place of one that Keras compares with 0 in Python."""

from __future__ import annotations

from typing import Any

from keras_clr._keras.api import KERAS_2, keras


def live_number() -> Any:
    """A variable as precise as the weights; TensorFlow's own one under Keras 2, which has no other."""
    if KERAS_2:
        # Its optimizers multiply it with gradients, and no type is promoted.
        return _tensorflow_class()(0.0, dtype=keras.backend.floatx(), trainable=False, name="momentum")
    dtype = "float64" if keras.backend.floatx() == "float64" else "float32"
    return _keras_class()(0.0, dtype=dtype, trainable=False, name="momentum")


class _NeverZero:
    """Answers what optimizers ask while a step is compiled: there is a momentum."""

    def __ne__(self, other: object) -> bool:
        return True

    def __gt__(self, other: object) -> bool:
        return True


def _tensorflow_class() -> Any:
    # Not `tf.Variable`, which is of another class within the scope of a distribution strategy.
    from tensorflow.python.ops.resource_variable_ops import ResourceVariable

    class LiveNumber(_NeverZero, ResourceVariable):
        pass

    return LiveNumber


def _keras_class() -> Any:
    class LiveNumber(_NeverZero, keras.Variable):
        current: Any = None  # JAX: what it is in the step that is being compiled.

        @property
        def value(self) -> Any:
            return super().value if self.current is None else self.current

    return LiveNumber
