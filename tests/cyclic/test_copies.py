"""Copies of `CyclicLR` and `OneCycleLR`, which tuners and scikit-learn make without asking."""

import copy
import pickle

import pytest
from any_keras import keras
from cyclic.spelling import doubling_clr, fit, spelling_model, steps_used

from keras_clr import CyclicLR, OneCycleLR

COPIES = pytest.mark.parametrize("copied", [copy.deepcopy, lambda callback: pickle.loads(pickle.dumps(callback))])


@COPIES
@pytest.mark.parametrize("used", [False, True])
def test_a_copy_trains_another_model_from_its_start(copied, used):
    """Whether its original has been used or not: step k of the other model has the rate of step k."""
    clr = doubling_clr()
    if used:
        fit(spelling_model(3), [clr], epochs=2)
    twin, model = copied(clr), spelling_model(3)
    fit(model, [twin], epochs=2)
    assert steps_used(model) == [[0, 3], [1, 4], [2, 5]]
    assert twin.history["step"] == clr.history["step"] + [0, 1, 2, 3, 4, 5]


@COPIES
@pytest.mark.parametrize("make", [lambda: CyclicLR(0.01, 0.1, 4, cycle_momentum=True), lambda: OneCycleLR(0.1)])
def test_of_a_used_callback_with_momentum(copied, make):
    """What was recorded is copied; the model and its compiled steps are not, and the original goes on with its own."""
    clr, model = make(), spelling_model(30, keras.optimizers.SGD(0.25, momentum=0.9))
    fit(model, [clr])
    twin = copied(clr)
    assert twin.history == clr.history
    assert repr(twin) == repr(clr)
    assert model not in vars(twin).values()
    other = spelling_model(30, keras.optimizers.SGD(0.25, momentum=0.9))
    fit(other, [twin])
    assert twin.history["momentum"] == 2 * clr.history["momentum"]
    fit(model, [clr])
    assert len(clr.history["step"]) == 60


def test_a_copy_made_in_training_asks_for_a_start_of_its_own():
    """It belongs to no run: without `on_train_begin` it says so."""
    clr, copies = doubling_clr(), []
    keep = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: copies.append(copy.deepcopy(clr)))
    fit(spelling_model(2), [clr, keep])
    with pytest.raises(RuntimeError, match="on_train_begin"):
        copies[0].on_epoch_begin(0)
