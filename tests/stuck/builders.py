"""The smallest sick run and its twins: one Dense layer whose bias saturates it, on two balanced classes."""

import contextlib
import functools
import warnings
from collections.abc import Hashable

import keras
import numpy as np

from keras_clr._errors import StuckTrainingWarning
from keras_clr._keras.tensors import to_numpy

NUM_CLASSES = 3
FAR = 300.0  # a logit so far away that float32 probabilities are exactly 0 and 1


def balanced_data(num_samples=96, labels="one-hot", seed=0):
    """Four features, the first of which tells two balanced classes apart; the head may have three units."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(np.arange(num_samples) % 2)
    x = rng.normal(size=(num_samples, 4)).astype("float32")
    x[:, 0] += 4.0 * classes - 2.0
    if labels == "one-hot":
        return x, np.eye(NUM_CLASSES, dtype="float32")[classes]
    return x, classes


def _new(*, num_units, from_logits, optimizer, extra, tail, **compile_arguments):
    """Dense softmax, then Reshape, which hides the logits from the loss on every backend."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            *extra,
            keras.layers.Dense(num_units, activation=None if from_logits else "softmax", name="head"),
            *([keras.layers.Reshape((num_units,))] if tail else []),
        ]
    )
    arguments = {
        "optimizer": optimizer or keras.optimizers.Adam(1e-3),
        "loss": keras.losses.CategoricalCrossentropy(from_logits=from_logits),
        "metrics": ["accuracy"],
    }
    model.compile(**(arguments | compile_arguments))
    model.optimizer.build(model.trainable_variables)
    variables = [*model.variables, *model.optimizer.variables]
    return model, [(variable, to_numpy(variable).copy()) for variable in variables]


@functools.cache
def _shared(**arguments):
    """A model that is compiled once for all tests that want the same."""
    return _new(optimizer=None, extra=(), **arguments)


def classifier(
    *,
    bias=(FAR, 0.0, 0.0),
    num_units=NUM_CLASSES,
    from_logits=False,
    optimizer=None,
    extra=(),
    tail=True,
    rate=None,
    **compile_arguments,
):
    """A model in its initial state, but for the bias of its head and the rate; shared where it can be."""
    arguments = {"num_units": num_units, "from_logits": from_logits, "tail": tail, **compile_arguments}
    if optimizer is None and not extra and all(isinstance(a, Hashable) for a in arguments.values()):
        model, initial = _shared(**arguments)
        reset(initial)
    else:
        model, _ = _new(optimizer=optimizer, extra=extra, **arguments)
    model.get_layer("head").bias.assign(bias)
    if rate is not None:
        model.optimizer.learning_rate = rate
    return model


def reset(initial):
    """Gives variables their initial values."""
    for variable, value in initial:
        variable.assign(value)


def run(model, detector, data, *, epochs=2, batch_size=32, **fit_arguments):
    """A short, silent fit."""
    return model.fit(*data, epochs=epochs, batch_size=batch_size, verbose=0, callbacks=[detector], **fit_arguments)


@contextlib.contextmanager
def verdicts():
    """Collects the detector's warnings as strings; any other warning is an error, as everywhere in the tests."""
    messages = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("error")
        # `pytest.warns` would give this one of Keras and NumPy 2 out again, under another module's name.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning, r"keras\.src")
        # Keras says this at the end of the first epoch of any data of unknown size.
        warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
        # JAX 0.12, when Keras builds a model with int64 labels.
        warnings.filterwarnings("ignore", "Explicitly requested dtype int64", UserWarning)
        warnings.filterwarnings("always", category=StuckTrainingWarning)
        yield messages
    messages += [str(warning.message) for warning in caught]
