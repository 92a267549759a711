"""Cyclical learning rates for Keras, and a detector for training that is frozen at chance."""

from keras_clr.cyclic.callback import CyclicLR
from keras_clr.cyclic.schedule import CyclicSchedule

__version__ = "0.1.0"

__all__ = ["CyclicLR", "CyclicSchedule"]
