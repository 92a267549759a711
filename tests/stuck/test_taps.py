"""Reading the inside of a model: right against numbers computed by hand, on every kind of model, without a trace."""

import random
import time

import keras
import numpy as np
import pytest
from versions import set_random_seed

from keras_clr._keras.gradients import GradientProbe
from keras_clr._keras.taps import read_layers
from keras_clr._keras.tensors import to_numpy

Dense = keras.layers.Dense
RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")
ONES = np.ones(24, "float32")
BATCH = (X, Y, ONES)


def compiled(model, loss="sparse_categorical_crossentropy", optimizer="sgd", **arguments):
    """The model, compiled, never trained."""
    model.compile(optimizer, loss, **arguments)
    return model


def everything(model):
    """Every number that a look could disturb, and what Keras counts names by."""
    optimizer = model.optimizer.variables if model.optimizer.built else []
    variables = [*model.variables, *optimizer, *model.metrics_variables]
    states = [repr(random.getstate()), repr(np.random.get_state()), repr(to_numpy(keras.random.uniform((3,))).tolist())]
    if keras.backend.backend() == "torch":
        import torch

        states.append(repr(torch.get_rng_state().tolist()))
    # Each call takes one name itself.
    return [(v.path, to_numpy(v).tobytes()) for v in variables], states, int(Dense(1).name.split("_")[-1])


def restless():
    """Every part that moves by itself: dropout without a seed, BatchNorm, an embedding, a nested model."""
    inner = keras.Sequential(
        [keras.Input((8,)), Dense(6), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    )
    words = keras.Input((3,), dtype="int32")
    hidden = keras.layers.Flatten()(keras.layers.Embedding(7, 5)(words))
    hidden = keras.layers.GaussianNoise(0.1)(Dense(8, "relu")(hidden))
    return keras.Model(words, Dense(2, "softmax")(inner(hidden)))


WORDS = RNG.integers(0, 7, (24, 3)), Y, ONES


def test_the_numbers_are_those_of_a_network_computed_by_hand():
    """Outputs, dead and saturated units, and the gradients of two layers and a mean squared error."""
    model = keras.Sequential([keras.Input((2,)), Dense(3, "relu", name="first"), Dense(2, "sigmoid", name="second")])
    compiled(model, "mse")
    x = np.array([[1.0, 2.0], [3.0, 1.0]], "float32")
    y = np.array([[0.0, 1.0], [1.0, 0.0]], "float32")
    first, first_bias = np.array([[1.0, -1.0, 0.5], [0.5, -2.0, -0.5]]), np.array([0.1, 0.0, 0.2])
    second, second_bias = np.array([[0.2, 0.0], [0.3, 0.1], [-0.4, 0.2]]), np.array([0.05, 9.0])
    model.set_weights([first, first_bias, second, second_bias])
    reading = read_layers(model, [(x, y, np.ones(2, "float32"))])
    before = x @ first + first_bias
    hidden = np.maximum(before, 0.0)
    output = 1.0 / (1.0 + np.exp(-(hidden @ second + second_bias)))
    assert [layer.name for layer in reading.layers] == ["first", "second"]
    for layer, value in zip(reading.layers, (hidden, output), strict=True):
        for seen in (layer.training, layer.inference):
            assert seen.mean == pytest.approx(value.mean(), rel=1e-5)
            assert seen.std == pytest.approx(value.std(), rel=1e-5)
            assert seen.spread == pytest.approx(np.ptp(value, axis=0).max(), rel=1e-5)
    assert (reading.layers[0].training.units, reading.layers[0].training.zero_units) == (3, 1)
    assert (reading.layers[1].training.units, reading.layers[1].training.saturated_units) == (2, 1)
    assert [layer.activation for layer in reading.layers] == ["relu", "sigmoid"]
    assert reading.loss_training == pytest.approx(np.mean((output - y) ** 2), rel=1e-5)
    assert reading.loss_inference == pytest.approx(reading.loss_training, rel=1e-6)
    at_output = 2.0 * (output - y) / y.size * output * (1.0 - output)
    at_hidden = (at_output @ second.T) * (before > 0)
    expected = [x.T @ at_hidden, at_hidden.sum(0), hidden.T @ at_output, at_output.sum(0)]
    for variable, gradient, weights in zip(
        reading.variables, expected, (first, first_bias, second, second_bias), strict=True
    ):
        assert variable.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-4)
        assert variable.norm == pytest.approx(np.linalg.norm(weights), rel=1e-6)
        assert variable.connected
        assert not variable.zero_gradient
    assert reading.sgd_rate == pytest.approx(0.01)
    assert reading.cannot_know == ()


@pytest.mark.parametrize("scaled", [False, True])
def test_a_look_leaves_no_trace(scaled):
    """Not one bit of model, optimizer, metrics and random state is another, nor a name; nothing stays on a layer."""
    keras.utils.set_random_seed(3)
    optimizer = keras.optimizers.Adam()
    model = restless()
    compiled(
        model, optimizer=keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer, metrics=["accuracy"]
    )
    model.fit(*WORDS[:2], batch_size=12, verbose=0)
    random_state = random.getstate(), np.random.get_state()
    names = [(set(vars(layer)), layer) for layer in model._flatten_layers()]

    def look_back():
        random.setstate(random_state[0])
        np.random.set_state(random_state[1])
        set_random_seed(5)
        return everything(model)

    before = look_back()
    set_random_seed(5)
    first = read_layers(model, [WORDS])
    after = everything(model)
    assert after[:2] == before[:2]
    assert after[2] == before[2] + 1
    assert all(set(vars(layer)) == known for known, layer in names)
    assert len(first.layers) == 8
    assert all(np.isfinite(v.gradient_norm) for v in first.variables)
    # Only a fit changes what was compared.
    model.fit(*WORDS[:2], batch_size=12, verbose=0)
    assert everything(model)[0] != before[0]


def test_a_first_fit_is_the_same_with_and_without_a_look_before():
    """Nothing is built by a look that the first `fit` would build: two runs are alike to the bit."""
    finals = []
    for look in (False, True):
        keras.utils.set_random_seed(9)
        model = compiled(restless(), optimizer=keras.optimizers.Adam())
        if look:
            read_layers(model, [WORDS])
        model.fit(*WORDS[:2], batch_size=8, epochs=2, verbose=0)
        finals.append([to_numpy(v).tobytes() for v in [*model.variables, *model.optimizer.variables]])
    assert finals[0] == finals[1]


class Block(keras.layers.Layer):
    """A residual block of the user's own."""

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.inside = Dense(4, "tanh", name="inside")

    def build(self, shape):
        self.inside.build(shape)

    def call(self, x):
        return x + self.inside(x)


class Own(keras.Model):
    """A subclassed model with a layer that is never used."""

    def __init__(self):
        super().__init__()
        self.block = Block(name="block")
        self.head = Dense(2, "softmax", name="head")
        self.idle = Dense(3, name="idle")
        self.build((None, 4))

    def build(self, shape):
        for layer in (self.block, self.head, self.idle):
            layer.build(shape)

    def call(self, x):
        return self.head(self.block(x))


def nested():
    """A model in a model, called twice, and an operation that is no layer."""
    inner = keras.Sequential([keras.Input((4,)), Dense(4, name="shared")], name="inner")
    inputs = [keras.Input((4,), name="a"), keras.Input((4,), name="b")]
    hidden = keras.ops.relu(inner(inputs[0]) + inner(inputs[1]))
    outputs = [Dense(2, "softmax", name="class")(hidden), Dense(1, name="number")(hidden)]
    return keras.Model(inputs, outputs)


def test_every_layer_of_every_kind_of_model_is_seen():
    """Through nested models, blocks of the user's own, operations, and several calls of one layer, in order."""
    reading = read_layers(compiled(Own()), [BATCH])
    assert [layer.name for layer in reading.layers] == ["inside", "block", "head"]
    assert [v.name.split("/")[-2] for v in reading.variables if v.position is None] == ["idle", "idle"]
    assert "`idle`" in reading.cannot_know[0]
    model = compiled(nested(), ["sparse_categorical_crossentropy", "mse"])
    reading = read_layers(model, [([X, X], [Y, Y.astype("float32")], ONES)])
    seen = [(layer.class_name, layer.call) for layer in reading.layers]
    assert sorted(seen) == [("Add", 0), ("Dense", 0), ("Dense", 0), ("Dense", 0), ("Dense", 1), ("Relu", 0)]
    assert next(layer.activation for layer in reading.layers if layer.class_name == "Relu") == "relu"
    assert reading.loss_training == pytest.approx(reading.loss_inference, rel=1e-5)
    assert all(v.gradient_norm for v in reading.variables if "kernel" in v.name)
    assert reading.accuracy_training is None


def test_a_weight_without_connection_is_told_from_a_gradient_of_zero():
    """On every backend: unused weights are unconnected, weights behind a dead layer have a gradient of 0."""
    model = compiled(Own())
    model.head.kernel.assign(np.zeros((4, 2)))
    reading = read_layers(model, [BATCH])
    by_name = {"/".join(v.name.split("/")[-2:]): v for v in reading.variables}
    inside, idle = by_name["inside/kernel"], by_name["idle/kernel"]
    assert (inside.connected, inside.zero_gradient, inside.gradient_norm) == (True, True, 0.0)
    assert (idle.connected, idle.gradient_norm) == (False, None)


def test_the_modes_are_told_apart():
    """BatchNorm that has seen nothing: normalised in training mode, as it comes in inference mode."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(momentum=0.9), Dense(2, "softmax")])
    reading = read_layers(compiled(model), [(X * 5 + 20, Y, ONES)])
    norm = reading.layers[0]
    assert norm.training.mean == pytest.approx(0.0, abs=1e-3)
    assert norm.inference.mean == pytest.approx(20.0, abs=1.0)
    assert reading.output_difference > 0.1
    assert reading.batchnorm_momentum == pytest.approx(0.9)


@pytest.mark.parametrize("run_eagerly", [False, True] if keras.backend.backend() == "tensorflow" else [False])
def test_clipped_answers_are_counted_and_asked_for_a_gradient(run_eagerly):
    """Half of the answers are wrong beyond the clip; behind a Reshape they have no gradient."""
    model = keras.Sequential([keras.Input((4,)), Dense(2, "softmax"), keras.layers.Reshape((2,))])
    compiled(model, run_eagerly=run_eagerly)
    model.layers[0].bias.assign([300.0, 0.0])
    y = np.arange(24) % 2
    reading = read_layers(model, [(X, y, ONES)])
    assert (reading.clipped_wrong, reading.clipped_right, reading.clipped_gradient) == (12, 12, False)
    assert reading.accuracy_training == 0.5


def test_half_precision_with_loss_scaling():
    """Gradients and loss come without the scale."""
    keras.config.set_dtype_policy("mixed_float16")
    model = keras.Sequential([keras.Input((4,)), Dense(8, "relu"), Dense(2, "softmax", dtype="float32")])
    keras.config.set_dtype_policy("float32")
    compiled(model, optimizer=keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)))
    plain = keras.Sequential([keras.Input((4,)), Dense(8, "relu"), Dense(2, "softmax")])
    compiled(plain).set_weights(model.get_weights())
    half, full = read_layers(model, [BATCH]), read_layers(plain, [BATCH])
    assert half.loss_training == pytest.approx(full.loss_training, rel=1e-2)
    assert half.variables[0].gradient_norm == pytest.approx(full.variables[0].gradient_norm, rel=2e-2)
    assert half.scaled_loss
    assert not full.scaled_loss


def test_rows_of_an_embedding_that_are_used_twice_are_added_up():
    """The gradient of an embedding is dense, whatever the backend calls it."""
    model = compiled(
        keras.Sequential(
            [keras.Input((2,), dtype="int32"), keras.layers.Embedding(4, 3), keras.layers.Flatten(), Dense(1)]
        ),
        "mse",
    )
    x = np.array([[1, 1], [1, 2]])
    y = np.array([1.0, 2.0], "float32")
    gradient = GradientProbe.of(model).measure((x, y, np.ones(2, "float32"))).gradients[0]
    table, kernel, bias = (to_numpy(v) for v in model.trainable_variables)
    slope = table[x].reshape(2, 6) @ kernel + bias - y[:, None]
    expected = np.zeros((4, 3))
    np.add.at(expected, x, (slope @ kernel.T).reshape(2, 2, 3))
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_what_cannot_be_read_is_said():
    """A model that is not compiled has no gradients; one that is not built is refused."""
    model = keras.Sequential([keras.Input((4,)), Dense(2)])
    reading = read_layers(model, [BATCH])
    assert not reading.gradients
    assert reading.loss_training is None
    assert "not compiled" in reading.cannot_know[0]
    with pytest.raises(ValueError, match="must be built"):
        read_layers(keras.Sequential([Dense(2)]), [BATCH])


def test_a_training_step_of_ones_own_has_layers_but_no_gradients():
    """What a user's `train_step` does with the gradient cannot be known, and the report says so."""

    class Mine(keras.Sequential):
        def train_step(self, *args, **kwargs):
            return super().train_step(*args, **kwargs)

    reading = read_layers(compiled(Mine([keras.Input((4,)), Dense(2, "softmax")])), [BATCH])
    assert len(reading.layers) == 1
    assert not reading.gradients
    assert reading.loss_training == pytest.approx(reading.loss_inference)
    assert "`train_step` of its own" in reading.cannot_know[0]


def test_a_second_look_is_quick():
    """Once everything is compiled, a look at a small model takes well under a second."""
    model = compiled(keras.Sequential([keras.Input((4,)), *[Dense(16, "relu") for _ in range(4)], Dense(2, "softmax")]))
    read_layers(model, [BATCH])
    start = time.perf_counter()
    read_layers(model, [BATCH])
    assert time.perf_counter() - start < 1.0
