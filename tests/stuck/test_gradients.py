"""The gradient that the next training step would take: exact, and taken without a trace."""

import gc
import random
import weakref

import keras
import numpy as np
import pytest
from stuck.builders import FAR, balanced_data, classifier

from keras_clr._keras.gradients import GradientProbe
from keras_clr._keras.prediction import predict
from keras_clr._keras.readings import CountedAccuracy, probability_loss, read_epoch
from keras_clr._keras.tensors import to_numpy
from keras_clr.stuck.certificate import way_out
from keras_clr.stuck.checks.training import measure_reach
from keras_clr.stuck.probe import Probe

# Only on TensorFlow does it make a difference, and on JAX every operation of an eager run is compiled by itself.
EAGER = [True, False] if keras.backend.backend() == "tensorflow" else [False]


def prepared(data=None, **arguments):
    """A model that could be trained next, and probe batches for it."""
    model = classifier(**arguments)
    return model, Probe(*(data or balanced_data(64))).batches(model, 32)


def everything(model):
    """Every number that a check could disturb: variables of model, optimizer and metrics, and random states."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    states = [repr(random.getstate()), repr(np.random.get_state())]
    if keras.backend.backend() == "torch":
        import torch

        states.append(repr(torch.get_rng_state().tolist()))
    return [to_numpy(v).tobytes() for v in variables], states


@pytest.mark.parametrize("run_eagerly", EAGER)
@pytest.mark.parametrize("tail", [True, False])
def test_the_loss_is_the_one_that_training_sees(backend, tail, run_eagerly):
    """Saturated and wrong: clipped to slope 0, except where TensorFlow's loss sees the logits behind the softmax."""
    model, batches = prepared(tail=tail, run_eagerly=run_eagerly)
    reading = GradientProbe.of(model).read(batches, num_draws=1)
    assert reading.zero == (tail or backend != "tensorflow")
    assert (reading.num_variables, reading.num_unconnected) == (2, 0)


def test_a_gradient_of_logits_is_not_zero():
    """The same weights with the loss computed from logits have a gradient."""
    model, batches = prepared(from_logits=True)
    assert not GradientProbe.of(model).read(batches, num_draws=1).zero


@pytest.mark.parametrize(
    "extra",
    [
        keras.layers.ActivityRegularization(l2=1e-3),
        keras.layers.Dense(4, kernel_regularizer="l2"),
    ],
    ids=["activity", "weights"],
)
def test_a_regularisation_loss_has_a_gradient_of_its_own(extra):
    """Where regularisation still moves the weights, the gradient is not zero, however saturated the outputs."""
    extra = [keras.layers.Dense(4), type(extra).from_config(extra.get_config())]
    model, batches = prepared(extra=extra)
    assert not GradientProbe.of(model).read(batches, num_draws=1).zero


def test_gradients_that_cancel_are_no_gradient_of_zero():
    """Two samples that pull one weight in opposite directions look like rest, unless each has its own weight."""
    data = np.zeros((32, 4), "float32"), balanced_data(32)[1][:, :2]
    model, batches = prepared(data, bias=(0.0, 0.0), num_units=2, tail=False)
    probe = GradientProbe.of(model)
    balanced = [(x, y, np.ones_like(weight)) for x, y, weight in batches]
    assert probe.read(balanced, num_draws=1).zero
    assert not probe.read(batches, num_draws=1).zero


def test_a_check_leaves_no_trace():
    """Gradient, predictions, momentum and logits are looked at, and not one bit anywhere is another afterwards."""
    extra = [keras.layers.Dense(4), keras.layers.Dropout(0.5), keras.layers.BatchNormalization()]
    model, batches = prepared(extra=extra)
    model.fit(*balanced_data(32), batch_size=32, verbose=0)
    before = everything(model)
    assert GradientProbe.of(model).read(batches, num_draws=3).zero
    assert way_out(model, batches, [True] * len(model.trainable_variables)) is None
    predict(model, batches)
    measure_reach(model, batches, 1e-3)
    assert everything(model) == before
    # And nothing was compared that never changes.
    model.fit(*balanced_data(32), batch_size=32, verbose=0)
    after = everything(model)
    assert after != before
    assert sum(a != b for a, b in zip(after[0], before[0], strict=True)) >= 3


@pytest.mark.parametrize("batch_shape", [(None, 4), (8, 4)])
def test_small_batches_are_answered_together(batch_shape, monkeypatch):
    """The same answers in fewer calls; a model of one batch size gets its own, and so do large samples."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(batch_shape=batch_shape), keras.layers.Dense(3)])
    x, sizes = np.random.default_rng(0).normal(size=(32, 4)).astype("float32"), []
    batches = [(part, None, None) for part in np.split(x, 4)]
    monkeypatch.setattr(model, "call", lambda x, call=model.call, **kw: sizes.append(x.shape[0]) or call(x, **kw))
    expected = x @ to_numpy(model.layers[-1].kernel)
    np.testing.assert_allclose(predict(model, batches), expected, rtol=1e-5, atol=1e-6)
    assert sizes == ([32] if batch_shape[0] is None else [8] * 4)
    monkeypatch.setattr("keras_clr._keras.prediction._FEW_VALUES", 64)
    predict(model, batches)
    assert sizes[-2:] == ([16] * 2 if batch_shape[0] is None else [8] * 2)


def test_draws_differ():
    """Each draw has a dropout of its own: a sample that is saturated in one draw has a gradient in another."""
    model, batches = prepared(extra=[keras.layers.Dropout(0.5)], bias=(0.0, 0.0, 0.0))
    # Feature 0 alone decides, wrongly and saturated; without it all classes are equally likely.
    model.get_layer("head").kernel.assign(np.eye(4, 3) * [FAR, 0.0, 0.0])
    one = [(np.eye(1, 4, dtype="float32"), np.eye(3, dtype="float32")[[1]], batches[0][2][:1])]
    probe = GradientProbe.of(model)
    for seed in range(20):
        keras.utils.set_random_seed(seed)
        for variable in model.non_trainable_variables:
            variable.assign([seed, 0])
        if probe.read(one, num_draws=1).zero:
            assert not probe.read(one, num_draws=30).zero
            return
    pytest.fail("no seed keeps the feature")


def test_a_weight_without_connection_is_no_gradient_of_zero(backend):
    """A weight that the loss does not depend on is counted apart where the backend can tell; JAX gives it a 0."""

    class Idle(keras.layers.Layer):
        def build(self, _):
            self.idle = self.add_weight(shape=(2,))

        def call(self, x):
            return x

    model, batches = prepared(extra=[Idle()])
    reading = GradientProbe.of(model).read(batches, num_draws=1)
    assert reading.num_unconnected == (backend != "jax")
    assert reading.zero == (backend == "jax")


def test_nan_is_not_zero():
    """A gradient that is not a number is no gradient of 0."""
    model, batches = prepared()
    model.get_layer("head").kernel.assign(np.full((4, 3), np.nan))
    assert not GradientProbe.of(model).read(batches, num_draws=1).zero


def test_a_training_step_of_ones_own_is_refused():
    """What a user's `train_step` does with the gradient cannot be known."""

    class Own(keras.Sequential):
        def train_step(self, *args, **kwargs):
            return super().train_step(*args, **kwargs)

    model = Own([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd", "mse")
    with pytest.raises(NotImplementedError, match="`train_step` of its own"):
        GradientProbe.of(model)


def test_one_probe_serves_a_model_until_it_is_compiled_again():
    """What was compiled for one loss is used at every look, but not for the next loss; it keeps no model alive."""
    model = classifier(metrics=[])
    probe = GradientProbe.of(model)
    assert GradientProbe.of(model) is probe
    model.compile("sgd", "mse")
    assert GradientProbe.of(model) is not probe
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize(
    ("loss", "kind"),
    [
        ("categorical_crossentropy", "categorical"),
        (keras.losses.CategoricalCrossentropy(), "categorical"),
        (keras.losses.categorical_crossentropy, "categorical"),
        ("crossentropy", "categorical"),
        (keras.losses.CategoricalCrossentropy(from_logits=True), None),
        (keras.losses.CategoricalCrossentropy(label_smoothing=0.1), None),
        ("mse", None),
    ],
)
def test_the_clipped_losses_are_known_by_what_they_are(loss, kind):
    """A cross-entropy of probabilities is recognised in each way to write it; others are not taken for one."""
    model = classifier(loss=loss)
    labels = balanced_data(32)[1]
    model.compute_loss(y=labels, y_pred=keras.ops.full(labels.shape, 1 / 3))
    assert probability_loss(model) == kind


def test_right_answers_are_read_whatever_the_metric_is_called():
    """The metric that counts right answers is found by what it is; a weighted one is named, not used."""
    metrics = [keras.metrics.CategoricalCrossentropy(name="accuracy"), keras.metrics.CategoricalAccuracy(name="hits")]
    model = classifier(metrics=metrics, weighted_metrics=["accuracy"])
    model.fit(*balanced_data(96), batch_size=40, verbose=0)
    reading = read_epoch(model)
    assert reading.accuracies == (CountedAccuracy("hits", 0, "categorical", 48.0, 96.0),)
    assert reading.unused == ("accuracy",)
    assert reading.num_samples == 96.0
    assert reading.loss == pytest.approx(8.059, abs=1e-3)
