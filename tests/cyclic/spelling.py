"""A model whose weights spell the learning rates that were really used, batch by batch.

Batch k feeds the k-th unit vector into one Dense unit whose prediction is the loss: its gradient is exactly 1
for weight k and 0 for the others. With `SGD` and a rate of 2**t at step t, weight k ends as minus the sum of
2**t over the steps at which batch k was trained. The binary digits of that sum are these steps.

A rate that is read back from the optimizer proves nothing: it may never have reached the compiled step.
"""

import numpy as np
import pytest
from any_keras import keras, mean

from keras_clr import CyclicLR, CyclicSchedule

# Keras gives it whenever data of unknown length ends, also where that is as it should be.
ran_out = pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")

LAST_LEGIBLE_STEP = 20  # float32 holds sums of the rates 2**0 ... 2**20 exactly enough.


@keras.saving.register_keras_serializable(package="keras_clr_tests")
def mean_prediction(y_true, y_pred):
    """A loss whose gradient with respect to the prediction is exactly 1."""
    return mean(y_pred, axis=-1)


@keras.saving.register_keras_serializable(package="keras_clr_tests")
def doubling(step):
    """The scale that turns the rise from 1 to 2 in 32 steps into 2**step (plain numbers and tensors)."""
    return (2.0**step - 1) * (32 / (step + 2.0**-60))


DOUBLING = {"base_lr": 1.0, "max_lr": 2.0, "step_size": 32, "scale_fn": doubling, "scale_mode": "iterations"}


def doubling_clr(**arguments):
    """A `CyclicLR` whose rate at step t is 2**t."""
    return CyclicLR(**DOUBLING, **arguments)


def doubling_schedule(**arguments):
    """A `CyclicSchedule` whose rate at step t is 2**t."""
    return CyclicSchedule(**DOUBLING, **arguments)


def spelling_model(num_batches, optimizer=None, model_class=keras.Sequential, **compile_arguments):
    """The compiled model; the rate it is compiled with is one that no step of the cycle uses."""
    layers = [
        keras.Input((num_batches,)),
        keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="spelled"),
    ]
    model = model_class(layers)
    model.compile(optimizer=optimizer or keras.optimizers.SGD(0.25), loss=mean_prediction, **compile_arguments)
    return model


def unit_vectors(num_batches):
    """Data in which batch k is the k-th unit vector."""
    return np.eye(num_batches, dtype="float32"), np.zeros((num_batches, 1), "float32")


def rows(num_batches):
    """The same data as a generator, whose length Keras cannot know."""
    x, y = unit_vectors(num_batches)
    for k in range(num_batches):
        yield x[k : k + 1], y[k : k + 1]


def fit(model, callbacks=(), epochs=1, data=None, **arguments):
    """`model.fit`, silent and in the order of the data, which is one unit vector a batch."""
    if data is None:
        x, y = unit_vectors(model.input_shape[-1])
        arguments = {"x": x, "y": y, "batch_size": 1, **arguments}
    else:
        arguments = {"x": data, **arguments}
    return model.fit(epochs=epochs, verbose=0, shuffle=False, callbacks=list(callbacks), **arguments)


def updates(model, layer="spelled"):
    """How far weight k went down: the sum of the rates that batch k was trained with."""
    return -model.get_layer(layer).get_weights()[0][:, 0].astype("float64")


def steps_used(model, layer="spelled", accumulation=1):
    """For each batch, the steps at which it was trained."""
    # Under accumulation, an update applies the mean of the gradients.
    digits = np.rint(updates(model, layer) * accumulation).astype(int)
    assert (digits >= 0).all()
    assert (digits < 2 ** (LAST_LEGIBLE_STEP + 1)).all()
    return [[t for t in range(LAST_LEGIBLE_STEP + 1) if total >> t & 1] for total in digits.tolist()]


def trained_in_order(batches, num_batches=None, accumulation=1):
    """What `steps_used` returns if the `batches` were trained one after the other, each at its own step."""
    used = [[] for _ in range(num_batches or max(batches) + 1)]
    for k, batch in enumerate(batches):
        used[batch].append(k // accumulation)
    return used
