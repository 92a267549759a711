"""`on_stuck="restart"`: new weights in the same fit, everything else from the start, as often as asked."""

import keras
import numpy as np
import pytest
from stuck.builders import FAR, balanced_data, verdicts
from versions import set_random_seed

from keras_clr import CyclicLR, StuckDetector
from keras_clr._keras.reinitialise import fresh_weights
from keras_clr._keras.tensors import to_numpy
from keras_clr.stuck.diagnosis import State
from keras_clr.stuck.restart import Restarter

LAYERS = keras.layers
X, Y = balanced_data(96, labels="sparse")


def network():
    """A network that learns, with Keras' initial weights."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), LAYERS.Dense(8, "relu", name="hidden"), LAYERS.Dense(1)])
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss, metrics=[keras.metrics.BinaryAccuracy(threshold=0.0)])
    return model


def dead_network():
    """The same, born dead: no unit of the hidden layer is above 0 on any sample."""
    model = network()
    model.get_layer("hidden").bias.assign([-FAR] * 8)
    return model


def test_a_dead_network_is_restarted_and_lives():
    """One fit: dead at first, then new weights; the rest of the epochs train them, and the run learns."""
    model = dead_network()
    before = [to_numpy(v).copy() for v in model.trainable_variables]
    detector = StuckDetector((X, Y), on_stuck="restart")
    with verdicts() as messages:
        model.fit(X, Y, epochs=12, batch_size=32, verbose=0, callbacks=[detector])
    assert len(messages) == 1
    assert "Restart 1 of at most 3, with new initial weights" in messages[0]
    (diagnosis,) = detector.restarts_
    assert "output-ignores-input" in [finding.code for finding in diagnosis.findings]
    assert detector.diagnosis_.state is State.LEARNING
    assert detector.stuck_epoch_ is None
    assert all(np.any(to_numpy(v) != b) for v, b in zip(model.trainable_variables, before, strict=True))


def test_after_the_last_restart_training_is_stopped():
    """A loss without slope is no better with other weights: two restarts, then the end."""
    model = keras.Sequential([keras.Input((4,)), LAYERS.Dense(2, "softmax")])
    model.compile("sgd", lambda y_true, y_pred: 0.0 * keras.ops.mean(y_pred, axis=-1), metrics=["accuracy"])
    labels = np.random.default_rng(0).permutation(Y)  # that no weights get right by luck
    detector = StuckDetector((X, labels), on_stuck="restart", max_restarts=2, margin=0.45)
    with verdicts() as messages:
        epochs = len(model.fit(X, labels, epochs=20, batch_size=32, verbose=0, callbacks=[detector]).epoch)
    assert epochs == 6
    assert len(detector.restarts_) == 2
    assert detector.stuck_epoch_ == 5
    assert len(messages) == 3


def test_everything_but_the_weights_starts_where_fit_began():
    """After a restart: slots, count and rate of the optimizer, BatchNorm and seeds are those of the start."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), LAYERS.Dense(3), LAYERS.BatchNormalization(), LAYERS.Dropout(0.5, seed=1), LAYERS.Dense(1)]
    )
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    start = [to_numpy(v).copy() for v in [*model.non_trainable_variables, *model.optimizer.variables]]

    restarter = Restarter(model)
    weights = [to_numpy(v).copy() for v in model.trainable_variables]
    model.fit(X, Y, verbose=0)
    model.optimizer.learning_rate = 0.5
    restarter.restart(1)
    now = [to_numpy(v) for v in [*model.non_trainable_variables, *model.optimizer.variables]]
    assert all(np.array_equal(a, b) for a, b in zip(start, now, strict=True))
    kernels = [(to_numpy(v), w) for v, w in zip(model.trainable_variables, weights, strict=True) if "kernel" in v.path]
    assert len(kernels) == 2
    assert all(not np.array_equal(a, b) for a, b in kernels)
    first = [to_numpy(v).copy() for v in model.trainable_variables]
    restarter.restart(2)
    assert not np.array_equal(first[0], to_numpy(model.trainable_variables[0]))


def test_a_cycle_begins_anew():
    """CyclicLR before or after the detector in the list: after a restart its clock is at 0 again, and says nothing."""
    for first in (True, False):
        model = dead_network()
        clr = CyclicLR(0.01, 0.05, step_size=30)
        detector = StuckDetector((X, Y), on_stuck="restart", max_restarts=1)
        callbacks = [clr, detector] if first else [detector, clr]
        with verdicts() as messages:
            model.fit(X, Y, epochs=3, batch_size=32, verbose=0, callbacks=callbacks)
        assert len([m for m in messages if "new initial weights" in m]) == 1
        assert clr.history["step"] == [0, 1, 2, 3, 4, 5, 0, 1, 2]


def test_a_trained_model_is_not_thrown_away():
    """A model with updates behind it is refused before anything is touched."""
    model = network()
    model.fit(X, Y, verbose=0)
    with pytest.raises(ValueError, match=r"would throw away what this model has learned.*3 updates"):
        model.fit(X, Y, verbose=0, callbacks=[StuckDetector((X, Y), on_stuck="restart")])


def test_a_layer_that_cannot_be_made_again():
    """A layer that does not give its configuration: refused when `fit` begins, by its name."""

    class Odd(LAYERS.Layer):
        def __init__(self, size):
            super().__init__(name="odd")
            self.size = size

        def build(self, shape):
            self.kernel = self.add_weight(shape=(shape[-1], self.size), initializer="ones")

        def call(self, inputs):
            return inputs @ self.kernel

        def get_config(self):
            raise NotImplementedError("no configuration")

    model = keras.Sequential([keras.Input((4,)), Odd(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"layer 'odd'.*cannot be drawn anew.*no configuration"):
        model.fit(X, Y, verbose=0, callbacks=[StuckDetector((X, Y), on_stuck="restart")])


@pytest.mark.parametrize(
    "layers",
    [
        [
            LAYERS.Conv2D(2, 2, kernel_initializer=keras.initializers.HeNormal(seed=3)),
            LAYERS.Flatten(),
            LAYERS.Dense(1),
        ],
        [LAYERS.Reshape((4, 4)), LAYERS.Bidirectional(LAYERS.LSTM(2)), LAYERS.Dense(1)],
        [LAYERS.Reshape((4, 4)), LAYERS.GRU(2), LAYERS.LayerNormalization(), LAYERS.Dense(1)],
        [keras.Sequential([LAYERS.Flatten(), LAYERS.Dense(3)]), LAYERS.Dense(1)],
    ],
    ids=["a fixed seed", "bidirectional", "GRU", "nested"],
)
def test_fresh_weights(layers):
    """Other kernels of the same shapes and size, the same ones for the same seed; no random state moves."""
    clones = [type(layer).from_config(layer.get_config()) for layer in layers]
    model = keras.Sequential([keras.Input((4, 4, 1)), *clones])
    set_random_seed(0)
    expected = np.random.uniform(), keras.ops.convert_to_numpy(keras.random.uniform((2,)))
    set_random_seed(0)
    first, again, other = (fresh_weights(model, seed) for seed in (1, 1, 2))
    assert np.random.uniform() == expected[0]
    assert np.array_equal(keras.ops.convert_to_numpy(keras.random.uniform((2,))), expected[1])
    for variable, a, b, c in zip(model.trainable_variables, first, again, other, strict=True):
        assert a.shape == tuple(variable.shape)
        assert np.array_equal(a, b)
        if "kernel" in variable.path:
            assert not np.array_equal(a, c)
            assert not np.array_equal(a, to_numpy(variable))
            if a.size >= 12:  # of fewer draws, the spread tells nothing
                assert 0.4 < a.std() / to_numpy(variable).std() < 2.5
        else:
            assert np.array_equal(a, to_numpy(variable))


def test_attention_is_drawn_anew():
    """A layer made of layers: all of its parts."""
    inputs = keras.Input((5, 4))
    model = keras.Model(inputs, LAYERS.Dense(1)(LAYERS.MultiHeadAttention(2, 3)(inputs, inputs)))
    fresh = fresh_weights(model, 1)
    kernels = [(v, f) for v, f in zip(model.trainable_variables, fresh, strict=True) if "kernel" in v.path]
    assert len(kernels) == 5
    assert all(not np.array_equal(to_numpy(v), f) for v, f in kernels)


def test_runs_that_began_with_other_weights_restart_with_other_weights():
    """Else one network that is born dead again would be so in every run; and the same run restarts in the same way."""

    def restarted(change):
        model = network()
        model.get_layer("hidden").kernel.assign(model.get_layer("hidden").kernel + change)
        Restarter(model).restart(1)
        return to_numpy(model.get_layer("hidden").kernel).copy()

    first, again, other = restarted(0.0), restarted(0.0), restarted(1e-3)
    assert np.array_equal(first, again)
    assert np.abs(first - other).max() > 0.1
