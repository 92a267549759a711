"""The best answer that does not look at the input, on probe samples that are spread over the classes."""

import keras
import numpy as np
import pytest

from keras_clr import StuckDetector
from keras_clr._keras.baseline import constant_losses
from keras_clr.stuck.diagnosis import State
from keras_clr.stuck.probe import PROBE_SIZE, Probe

losses = keras.losses
RNG = np.random.default_rng(0)
RARE = RNG.permutation(np.arange(4000) % 20 == 0).astype("float32")
X = RNG.normal(size=(4000, 3)).astype("float32")
SHARES = [0.5, 0.35, 0.1, 0.05]
FOUR = RNG.permutation(np.repeat(np.arange(4), np.multiply(SHARES, 4000).astype(int)))
ROWS = np.eye(4, dtype="float32")[FOUR]
ENTROPIES = {
    "binary": (1, "sigmoid", "binary_crossentropy", RARE),
    "binary, logits": (1, None, losses.BinaryCrossentropy(from_logits=True), RARE),
    "sparse": (4, "softmax", "sparse_categorical_crossentropy", FOUR),
    "sparse, logits": (4, None, losses.SparseCategoricalCrossentropy(from_logits=True), FOUR),
    "rows": (4, "softmax", "categorical_crossentropy", ROWS),
    "rows, logits": (4, None, losses.CategoricalCrossentropy(from_logits=True), ROWS),
}


def model_for(units, activation, loss, **arguments):
    """A built and compiled model whose loss is built, too."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(units, activation, kernel_initializer="zeros")])
    model.compile(keras.optimizers.SGD(1e-6), loss, **arguments)
    return model


def best_constant(model, y):
    """Its mean loss over the data that the probe stands for."""
    model.evaluate(X[:8], y[:8], verbose=0)
    probe = Probe(X, y)
    assert len(probe) == PROBE_SIZE
    (target,) = probe.targets(["output"], [None])
    return target.chance, target.mean(constant_losses(model, target.labels, model.output_shape[1:], target.weights))


@pytest.mark.parametrize("name", ENTROPIES)
def test_of_a_cross_entropy_it_costs_the_entropy_of_all_labels(name):
    """Of 19 to 1, and of four classes, though the probe has as many of each class as it can."""
    units, activation, loss, y = ENTROPIES[name]
    chance, cost = best_constant(model_for(units, activation, loss), y)
    assert cost == pytest.approx(chance.cross_entropy, rel=1e-4)


@pytest.mark.parametrize(("loss", "cost"), [("mse", 0.05 * 0.95), ("mae", 0.05)])
def test_of_other_losses_it_is_mean_or_median_of_all_labels(loss, cost):
    """The mean has a squared error of 0.05 * 0.95, the median, 0, an absolute one of 0.05."""
    assert best_constant(model_for(1, None, loss), RARE)[1] == pytest.approx(cost, rel=1e-4)


def test_a_run_that_answers_the_shares_has_learned_them_only():
    """Nothing is gained over that answer: no slow start."""
    model = model_for(1, "sigmoid", "binary_crossentropy", metrics=["accuracy"])
    model.layers[-1].bias.assign([np.log(0.05 / 0.95)])
    detector = StuckDetector((X, RARE))
    model.fit(X, RARE, epochs=16, batch_size=500, verbose=0, callbacks=[detector])
    assert detector.diagnosis_.state is State.CLASS_SHARES
    assert detector.diagnosis_.evidence["skill"] == pytest.approx(0.0, abs=1e-3)
