"""What is read of a model's outputs: against what Keras itself makes of them, and without a trace."""

import keras
import numpy as np
import pytest
from stuck.heads import FIVE, ONE_HOT, TWO, compiled, dense, found, subclassed

from keras_clr._keras.heads import read_heads

layers, losses, metrics = keras.layers, keras.losses, keras.metrics


@pytest.mark.parametrize(
    ("units", "shape", "labels"),
    [
        (1, (4,), TWO),
        (1, (4,), TWO[:, None]),
        (5, (4,), FIVE),
        (5, (4,), FIVE[:, None]),
        (5, (4,), ONE_HOT),
        (5, (3, 4), FIVE[:, None].repeat(3, axis=1)),
        (5, (3, 4), ONE_HOT[:, None].repeat(3, axis=1)),
    ],
)
def test_accuracy_is_what_keras_makes_of_it(units, shape, labels):
    """The string "accuracy" and the loss "crossentropy" are resolved as Keras resolves them when it sees a batch."""
    model = compiled(dense(units, "sigmoid" if units == 1 else "softmax"), "crossentropy", shape=shape)
    head = read_heads(model)[0].for_labels(labels.shape)
    assert model._compile_metrics.built is False
    model.test_on_batch(np.zeros((80, *shape)), labels)
    built = type(model._compile_metrics._flat_metrics[0].metrics[0])
    classes = {
        "binary": metrics.BinaryAccuracy,
        "sparse": metrics.SparseCategoricalAccuracy,
        "categorical": metrics.CategoricalAccuracy,
    }
    assert classes[head.metrics[0].kind] is built
    functions = {
        "binary": losses.binary_crossentropy,
        "sparse": losses.sparse_categorical_crossentropy,
        "categorical": losses.categorical_crossentropy,
    }
    assert functions[head.loss.kind] is model._compile_loss._flat_losses[0].loss.fn


TAILS = {
    "activation": lambda: [layers.Dense(1, "sigmoid")],
    "activation layer": dense(1, "sigmoid"),
    "linear behind it": lambda: [layers.Dense(1, "sigmoid"), layers.Activation("linear"), layers.Identity()],
    "reshaped": lambda: [layers.Dense(1, "sigmoid"), layers.Reshape((1,))],
    "flattened": lambda: [layers.Dense(1, "sigmoid"), layers.Flatten()],
}


@pytest.mark.parametrize("tail", TAILS)
def test_whether_the_loss_sees_the_logits_is_told_by_its_value(tail):
    """At a logit of 40, clipped probabilities cost 15.94 or more and never more than 16.12; seen logits cost 40."""
    model = compiled(TAILS[tail], "binary_crossentropy", measures=())
    model.layers[0].kernel.assign(np.zeros((4, 1)))
    model.layers[0].bias.assign([40.0])
    cost = float(model.test_on_batch(np.zeros((8, 4)), np.zeros((8, 1))))
    assert read_heads(model)[0].loss.sees_logits == (cost > 20.0)


@pytest.mark.parametrize("shape", [(8, 3), (8, 3, 1)])
def test_labels_without_the_last_axis_take_the_view_of_the_logits(shape):
    """One unit a step: with labels (n, steps) Keras squeezes the output first."""
    model = compiled(dense(1, "sigmoid"), "binary_crossentropy", measures=(), shape=(3, 4))
    model.layers[0].kernel.assign(np.zeros((4, 1)))
    model.layers[0].bias.assign([40.0])
    cost = float(model.test_on_batch(np.zeros((8, 3, 4)), np.zeros(shape)))
    assert read_heads(model)[0].for_labels(shape).loss.sees_logits == (cost > 20.0)


def test_a_subclassed_model_is_followed_on_symbolic_inputs_without_a_trace():
    """With inputs to go by, its head is read; the layers have no notes of it, and without them the rules are silent."""
    model = subclassed()
    x = np.zeros((8, 4), "float32")
    assert found(model, TWO, x) == {"cross-entropy-without-activation": "forecast"}
    assert all(not layer._inbound_nodes and not layer._outbound_nodes for layer in model.layers)
    (head,) = read_heads(model)
    assert (head.units, head.activations, head.complete, head.loss.kind) == (None, (), False, "binary")
    assert found(model, TWO) == {}


def test_nested_models_and_layers_in_between_are_seen_through():
    """Softmax outside, Dense inside a nested model, with dropout and a reshape in between."""
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(6, "relu"), layers.Dropout(0.5)])
    inputs = keras.Input((4,))
    outputs = layers.Softmax()(layers.Reshape((2, 3))(inner(inputs)))
    (head,) = read_heads(keras.Model(inputs, outputs))
    assert (head.units, head.rank, head.activations, head.complete) == (3, 2, ("relu", "softmax"), True)
    assert head.dense is None
    assert head.loss is None


def test_each_of_several_outputs_has_its_own_loss_and_metrics():
    """Given by name, in order, or one for all; a dict of outputs comes in the order in which Keras flattens it."""
    inputs = keras.Input((4,))
    a, b = layers.Dense(1, "sigmoid", name="a")(inputs), layers.Dense(5, name="b")(inputs)
    model = keras.Model(inputs, [a, b])
    model.compile("adam", {"b": "mse", "a": "binary_crossentropy"}, metrics={"b": ["mae"]})
    heads = read_heads(model)
    assert [(h.name, h.loss.kind, [m.kind for m in h.metrics]) for h in heads] == [
        ("a", "binary", []),
        ("b", "regression", ["regression"]),
    ]
    model.compile("adam", ["binary_crossentropy", None], metrics=[["accuracy"], None])
    assert [head.loss and head.loss.kind for head in read_heads(model)] == ["binary", None]
    model = keras.Model(inputs, {"z": a, "y": b})
    model.compile("adam", {"z": "binary_crossentropy", "y": "mse"})
    assert [(h.name, h.units, h.loss.kind) for h in read_heads(model)] == [("y", 5, "regression"), ("z", 1, "binary")]
