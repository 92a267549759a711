"""The part of `keras.ops` that the schedules compute with, for Keras 2, which has none."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

bitwise_and = tf.bitwise.bitwise_and
cast = tf.cast
clip = tf.clip_by_value
convert_to_tensor = tf.convert_to_tensor
floor_divide = tf.math.floordiv
minimum = tf.minimum
right_shift = tf.bitwise.right_shift
sin = tf.sin
square = tf.square
take = tf.gather
where = tf.where


def convert_to_numpy(tensor: Any) -> Any:
    """A tensor or variable as an array."""
    return tensor.numpy()
