"""The short ways to set a rate, and the public way that is taken where they have no ground."""

import pytest
from cyclic.spelling import doubling_clr, fit, spelling_model, steps_used, trained_in_order

from keras_clr._keras import learning_rate


def trained_model(**compile_arguments):
    model = spelling_model(4, **compile_arguments)
    fit(model, [doubling_clr()], epochs=3)
    return steps_used(model)


def test_the_public_way(monkeypatch):
    """Plain assignment is right as well: a backend without a writer of its own loses time, not rates."""
    monkeypatch.setattr(learning_rate, "_WRITERS", {})
    writers = []
    real = learning_rate.LearningRateWriter
    monkeypatch.setattr(learning_rate.LearningRateWriter, "write", lambda self, rate: writers.append(self.assign(rate)))
    assert trained_model() == trained_in_order([0, 1, 2, 3] * 3)
    assert len(writers) == 12
    assert learning_rate.learning_rate_writer(spelling_model(1)).__class__ is real


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_jax_trainer_of_another_kind(run_eagerly, monkeypatch, backend):
    """If the JAX trainer's state does not look as expected, the rates are assigned."""
    if backend != "jax":
        pytest.skip("the state of JAX's trainer")
    monkeypatch.setattr(learning_rate._JaxWriter, "_find_places", lambda self, state: [])
    assert trained_model(run_eagerly=run_eagerly) == trained_in_order([0, 1, 2, 3] * 3)


def test_jax_places(backend):
    """The expected state is recognized, others are not."""
    if backend != "jax":
        pytest.skip("the state of JAX's trainer")
    model = spelling_model(2)
    model.optimizer.build(model.trainable_variables)
    writer = learning_rate._JaxWriter(model)
    state = tuple([v.value for v in group] for group in ([], [], model.optimizer.variables, []))
    (place,) = writer._find_places(state)
    assert float(state[2][place]) == 0.25
    assert writer._find_places(state[:3]) == []
    assert writer._find_places(list(state)) == []
    assert writer._find_places((state[0], state[1], state[2][:-1], state[3])) == []


def test_tensorflow_replicas(backend):
    """With variables that are mirrored over replicas, the rates reach every step."""
    if backend != "tensorflow":
        pytest.skip("a distribution strategy of TensorFlow")
    import tensorflow as tf

    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = spelling_model(4)
    fit(model, [doubling_clr()], epochs=3)
    assert steps_used(model) == trained_in_order([0, 1, 2, 3] * 3)
