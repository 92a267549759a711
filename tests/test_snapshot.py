"""Tests of `Snapshot`: the whole state is taken, and given back to the last bit."""

import keras
import numpy as np
import pytest

from keras_clr._keras.tensors import to_numpy
from keras_clr._snapshot import Snapshot

X = np.random.default_rng(0).normal(size=(32, 5)).astype("float32")
Y = (X[:, :1] > 0).astype("float32")


def make_model(optimizer="adam", dtype="float32", compiled=True):
    """Everything that has a state: weights, moving statistics, a seed; compiled, slots and metrics."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(8, activation="relu", dtype=dtype),
            keras.layers.BatchNormalization(dtype=dtype),
            keras.layers.Dropout(0.5, seed=4, dtype=dtype),
            keras.layers.Dense(1, activation="sigmoid", dtype=dtype),
        ]
    )
    if compiled:
        model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"])
    return model


def fit(model, epochs=2, callbacks=(), shuffle=True):
    """A fit whose order depends on nothing before it."""
    keras.utils.set_random_seed(7)
    return model.fit(X, Y, batch_size=8, epochs=epochs, verbose=0, callbacks=list(callbacks), shuffle=shuffle).history


def variables_of(model):
    """All variables of a compiled model, those that training makes included."""
    return [*model.variables, *model.optimizer.variables, *model.metrics_variables]


def bits(variables):
    """The values as bytes: equal only if every bit is."""
    return [to_numpy(v).tobytes() for v in variables]


class Losses(keras.callbacks.Callback):
    """Every batch's logs as they come."""

    def on_train_begin(self, logs=None):
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append((logs["loss"], logs["accuracy"]))


@pytest.mark.parametrize("scaled", [False, True], ids=["adam", "loss_scale"])
def test_restored_bit_for_bit(scaled):
    """After training on, all variables come back to the last bit, the optimizer's and the metrics' included."""
    optimizer = keras.optimizers.Adam()
    model = make_model(keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer)
    fit(model)
    before = bits(variables_of(model))
    snapshot = Snapshot.take(model)
    fit(model)
    changed = sum(a != b for a, b in zip(before, bits(variables_of(model)), strict=True))
    assert changed >= 20
    snapshot.restore(model)
    assert bits(variables_of(model)) == before


@pytest.mark.parametrize("trained_before", [False, True])
def test_replay_is_identical(trained_before):
    """A restored run gives the same loss and accuracy in every batch, also if the optimizer had no slots yet.

    The very first `fit` of a model draws one order more on JAX and torch, so that case does without shuffling.
    """
    model = make_model()
    if trained_before:
        fit(model, epochs=1)
    snapshot = Snapshot.take(model)
    runs = []
    for _ in range(3):
        losses = Losses()
        history = fit(model, callbacks=[losses], shuffle=trained_before)
        runs.append((losses.seen, history, bits(variables_of(model))))
        snapshot.restore(model)
    assert runs[0] == runs[1] == runs[2]
    assert len(set(runs[0][0])) > 4


def test_weights_alone_would_not_do():
    """The replay test can fail: with `get_weights` instead, the run is another one."""
    model = make_model()
    weights = model.get_weights()
    first = fit(model, shuffle=False)["loss"]
    model.set_weights(weights)
    assert fit(model, shuffle=False)["loss"] != first


def test_copies_belong_to_the_snapshot():
    """Training after a restore leaves the snapshot as it was, on a layer as large as backends share memory for."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(4096), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    snapshot = Snapshot.take(model)
    before = bits(variables_of(model))[: len(model.variables) + len(model.optimizer.variables)]
    for _ in range(2):
        snapshot.restore(model)
        assert bits([*model.variables, *model.optimizer.variables]) == before
        fit(model, epochs=1)
        assert bits(model.variables) != before[: len(model.variables)]


def test_restore_in_mid_training():
    """Given back from a callback, the state is the one that training goes on with."""

    class Restore(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                snapshot.restore(self.model)
                keras.utils.set_random_seed(7)

    model = make_model()
    fit(model, epochs=1)
    snapshot = Snapshot.take(model)
    once = fit(model, epochs=1)
    snapshot.restore(model)
    twice = fit(model, epochs=2, callbacks=[Restore()])
    assert twice["loss"] == 2 * once["loss"]
    assert int(to_numpy(model.optimizer.iterations)) == 8


def test_taken_in_mid_training():
    """Taken from a callback, it holds the epoch's last update, not what was there when the epoch began."""

    class Take(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.taken = Snapshot.take(self.model)

    model = make_model()
    take = Take()
    fit(model, epochs=1, callbacks=[take])
    after = bits([*model.variables, *model.optimizer.variables])
    fit(model, epochs=1)
    take.taken.restore(model)
    assert bits([*model.variables, *model.optimizer.variables]) == after


def test_bfloat16_is_exact():
    """A format that numpy does not have comes back unchanged, too."""
    model = make_model(dtype="bfloat16", compiled=False)
    before = bits(model.variables)
    snapshot = Snapshot.take(model)
    model.set_weights([np.ones(w.shape) for w in model.get_weights()])
    assert bits(model.variables) != before
    snapshot.restore(model)
    assert bits(model.variables) == before


def test_zeros_keep_their_sign():
    """0.0 and -0.0, which compare equal, come back as what they were."""
    model = make_model()
    kernel, bias = model.layers[0].kernel, model.layers[0].bias
    kernel.assign(np.full(kernel.shape, -0.0))
    bias.assign(np.zeros(bias.shape))
    before = bits(model.variables)
    snapshot = Snapshot.take(model)
    fit(model)
    assert bits(model.variables) != before
    snapshot.restore(model)
    assert bits(model.variables) == before
    assert np.signbit(to_numpy(kernel)).all()
    assert not np.signbit(to_numpy(bias)).any()


def test_uncompiled_model():
    """A model without an optimizer has its variables taken and given back, seeds included."""
    model = make_model(compiled=False)
    snapshot = Snapshot.take(model)
    before = bits(model.variables)
    first = to_numpy(model(X, training=True))
    assert bits(model.variables) != before
    snapshot.restore(model)
    assert bits(model.variables) == before
    assert to_numpy(model(X, training=True)).tobytes() == first.tobytes()


def test_stop_training_and_metrics():
    """`stop_training` comes back; a metric made since is reset, one that counted goes on from its count."""
    model = make_model()
    snapshot = Snapshot.take(model)
    fit(model, epochs=1)
    model.stop_training = True
    snapshot.restore(model)
    assert model.stop_training is False
    assert len(model.metrics_variables) > 2
    assert all(not to_numpy(v).any() for v in model.metrics_variables)

    model.train_on_batch(X[:8], Y[:8])
    counted = bits(model.metrics_variables)
    model.stop_training = True
    snapshot = Snapshot.take(model)
    model.reset_metrics()
    fit(model, epochs=1)
    snapshot.restore(model)
    assert model.stop_training is True
    assert bits(model.metrics_variables) == counted


def test_num_bytes_counts_every_copy():
    """32 weights of 4 bytes, Adam's two slots for each, its count and rate."""
    model = keras.Sequential([keras.Input((31,)), keras.layers.Dense(1)])
    assert Snapshot.take(model).num_bytes == 32 * 4
    model.compile("adam", "mse")
    small = sum(to_numpy(v).nbytes for v in model.optimizer.variables if not tuple(v.shape))
    tracker = sum(to_numpy(v).nbytes for v in model.metrics_variables)
    assert Snapshot.take(model).num_bytes == 3 * 32 * 4 + small + tracker


def test_unbuilt_model_is_refused():
    """A model whose weights do not exist yet is an error that says how to build it."""
    with pytest.raises(ValueError, match=r"Argument `model` must be built\. Received: model=Sequential 'lazy'.*build"):
        Snapshot.take(keras.Sequential([keras.layers.Dense(1)], name="lazy"))


def refused(snapshot, model, match):
    """Asserts that restoring is an error and changes nothing."""
    before = bits(variables_of(model))
    with pytest.raises(ValueError, match=match):
        snapshot.restore(model)
    assert bits(variables_of(model)) == before


def test_changed_model_is_refused_before_anything_is_written():
    """Another number of variables, another shape or another optimizer: an error, and not one value has changed."""
    model = make_model()
    snapshot = Snapshot.take(model)
    fit(model, epochs=1)

    model.compile(keras.optimizers.SGD(), "binary_crossentropy", metrics=["accuracy"])
    refused(snapshot, model, r"has 2 optimizer variables, and had \d\d when")

    model.add(keras.layers.Dense(1))
    model.compile("adam", "mse")
    refused(snapshot, model, r"has 11 variables, and had 9 when the snapshot was taken\. Restore before")

    other = keras.Sequential([keras.Input((6,)), *(type(x).from_config(x.get_config()) for x in make_model().layers)])
    other.compile("adam", "binary_crossentropy")
    refused(snapshot, other, r"kernel' has shape \(6, 8\), and \(5, 8\) when")


def test_optimizer_that_came_or_went_is_refused():
    """Compiled since, or not compiled any more: an error instead of half of the state."""
    model = make_model(compiled=False)
    without = Snapshot.take(model)
    model.compile("adam", "mse")
    refused(without, model, "has an optimizer, and had none")
    with_one = Snapshot.take(model)
    with pytest.raises(ValueError, match="has no optimizer, and had one"):
        with_one.restore(make_model(compiled=False))


def test_compiled_again_with_the_same_optimizer():
    """A new optimizer of the same kind gets slots, count and rate of the old one."""
    model = make_model()
    fit(model, epochs=1)
    snapshot = Snapshot.take(model)
    before = bits([*model.variables, *model.optimizer.variables])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    snapshot.restore(model)
    assert bits([*model.variables, *model.optimizer.variables]) == before
