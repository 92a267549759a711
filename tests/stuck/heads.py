"""Models that are all head: one input, a few last layers, and a loss; and labels for them."""

import keras
import numpy as np

from keras_clr._keras.heads import read_heads
from keras_clr.stuck.checks.head import check_head

layers = keras.layers
RNG = np.random.default_rng(0)
TWO, FIVE = RNG.permutation(np.arange(80) % 2), RNG.permutation(np.arange(80) % 5)
ONE_HOT = np.eye(5)[FIVE]
SEVERAL = (RNG.uniform(size=(80, 5)) < 0.4).astype("float32")
VALUES = RNG.normal(size=80)


def compiled(head, loss, measures=("accuracy",), shape=(4,)):
    """A model that ends in new layers, which `head` makes."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(shape), *head()])
    model.compile(keras.optimizers.Adam(0.05), loss=loss, metrics=list(measures))
    return model


def found(model, labels, x=None):
    """Code and confidence of each finding."""
    (head,) = read_heads(model, x)
    return {finding.code: finding.confidence for finding in check_head(head, labels)}


def dense(units, *activations, behind=()):
    """A last Dense layer, activations as layers of their own, and what comes behind."""
    return lambda: [layers.Dense(units), *[layers.Activation(name) for name in activations], *behind]


def subclassed():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.last = layers.Dense(1, activation="tanh")
            self.first = layers.Dense(3, "relu")

        def call(self, x):
            return self.last(self.first(x))

    model = Net()
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    model(np.zeros((1, 4)))
    return model
