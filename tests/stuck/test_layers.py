"""What the inside of a model says about why it does not learn.

The smallest sick reading of each cause and its healthy twin; real sick runs, which learn once the fix in the report is
applied; and healthy networks, about which there is nothing to say.
"""

import dataclasses

import keras
import numpy as np
import pytest

from keras_clr._keras.layer_outputs import OutputReading
from keras_clr._keras.layers_reading import LayerReading, LayersReading, VariableReading
from keras_clr._keras.taps import read_layers
from keras_clr._keras.tensors import to_numpy
from keras_clr.stuck.causes.layers import CAUSES
from keras_clr.stuck.checks.layers import check_layers

Dense = keras.layers.Dense
CHANCE = float(np.log(2.0))


def seen(**changes):
    """Output of a healthy layer of 16 units."""
    healthy = OutputReading(finite=True, mean=0.1, std=1.0, spread=3.0, units=16, zero_units=0, saturated_units=0)
    return dataclasses.replace(healthy, **changes)


def layer(name, activation="relu", **changes):
    """A layer that gives the same in both modes."""
    return LayerReading(name, "Dense", activation, 0, True, seen(**changes), seen(**changes))


def variable(name, position, **changes):
    """A healthy variable."""
    healthy = VariableReading(
        name=name,
        position=position,
        shape=(16, 16),
        norm=4.0,
        gradient_norm=0.4,
        zero_gradient=False,
        connected=True,
        same_units=False,
    )
    return dataclasses.replace(healthy, **changes)


NO_GRADIENT = {"gradient_norm": 0.0, "zero_gradient": True}
UNCONNECTED = {"connected": False, "gradient_norm": None}


def reading(layers=None, variables=None, **changes):
    """A healthy reading of three layers, with the given ones in their place."""
    layers = {"first": {}, "second": {}, "head": {"activation": "sigmoid"}} | (layers or {})
    variables = {"first/kernel": {}, "second/kernel": {}, "head/kernel": {}} | (variables or {})
    healthy = LayersReading(
        num_samples=32,
        layers=tuple(layer(name, **c) for name, c in layers.items()),
        variables=tuple(variable(name, i, **c) for i, (name, c) in enumerate(variables.items())),
        bad_variables=(),
        finite_inputs=True,
        input_spread=4.0,
        loss_training=0.7,
        loss_inference=0.7,
        accuracy_training=0.5,
        accuracy_inference=0.5,
        output_difference=0.0,
        clipped_wrong=0,
        clipped_right=0,
        clipped_gradient=None,
        gradients=True,
        scaled_loss=False,
        sgd_rate=None,
        epsilon=None,
        coasting=False,
        updates=0,
        batchnorm_momentum=None,
        cannot_know=(),
    )
    return dataclasses.replace(healthy, **changes)


def dropping(rate):
    """A reading with a dropout of 64 values before the head."""
    dropout = dataclasses.replace(layer("dropout", None, entries=64), class_name="Dropout", dropout=rate)
    healthy = reading()
    return dataclasses.replace(healthy, layers=(*healthy.layers[:2], dropout, healthy.layers[2]))


def found(reading, before_training=True, chance_loss=CHANCE):
    """Codes and confidences."""
    findings = check_layers(reading, before_training=before_training, chance_loss=chance_loss)
    return [(finding.code, finding.confidence) for finding in findings]


def after(reading):
    """What is found once training has begun."""
    return found(reading, before_training=False)


NAN = float("nan")
DEAD = {"zero_units": 16, "spread": 0.0, "std": 0.0, "mean": 0.0}
CONSTANT = {"spread": 0.0, "std": 0.0}
DEEP = ("a", "b", "c", "d", "e")
KERNELS = ("first/kernel", "second/kernel", "head/kernel")
ALIKE_WITHOUT_GRADIENT = NO_GRADIENT | {"same_units": True}


def falling(factor, **changes):
    """Five kernels, each with so much less gradient than the one behind it."""
    layers = [layer(name) for name in DEEP]
    variables = [variable(f"{n}/kernel", i, gradient_norm=0.4 * factor ** (4 - i)) for i, n in enumerate(DEEP)]
    return (
        reading(**changes)
        if factor == 1.0
        else dataclasses.replace(reading(**changes), layers=tuple(layers), variables=tuple(variables))
    )


@pytest.mark.parametrize(
    ("code", "confidence", "sick", "healthy"),
    [
        (
            "non-finite-first-pass",
            "certificate",
            reading(loss_training=NAN, layers={"second": {"finite": False}}),
            # A mask may be infinite inside.
            reading(layers={"second": {"finite": False}}),
        ),
        (
            "non-finite-first-pass",
            "certificate",
            reading(variables={"second/kernel": {"gradient_norm": NAN}}),
            # With loss scaling an overflow costs one step.
            reading(variables={"second/kernel": {"gradient_norm": NAN}}, scaled_loss=True),
        ),
        (
            "no-trainable-weights",
            "certificate",
            reading(
                variables={},
            ),
            reading(),
        ),
        (
            "symmetric-weights",
            "certificate",
            reading(variables={"second/kernel": {"same_units": True}}),
            # A last layer that starts from 0 has labels that tell its units apart.
            reading(variables={"head/kernel": {"same_units": True}}),
        ),
        (
            "symmetric-weights",
            "certificate",
            # All kernels start from 0: only the last bias has a gradient.
            reading(variables=dict.fromkeys(KERNELS, ALIKE_WITHOUT_GRADIENT)),
            # Only those before a last layer that starts from 0: it has a gradient, and will tell them apart.
            reading(variables={"second/kernel": ALIKE_WITHOUT_GRADIENT}),
        ),
        (
            "dead-layer",
            "certificate",
            reading(
                layers={"second": DEAD, "head": CONSTANT},
                variables={"first/kernel": NO_GRADIENT, "second/kernel": NO_GRADIENT},
            ),
            reading(layers={"second": {"zero_units": 8}}),
        ),
        (
            # Weight decay still pulls: no certificate.
            "dead-layer",
            "forecast",
            reading(layers={"second": DEAD, "head": CONSTANT}),
            # tanh at 0 has a slope.
            reading(layers={"second": {"zero_units": 16, "activation": "tanh"}}),
        ),
        ("dead-layer", "hint", reading(layers={"second": DEAD}), reading()),
        (
            "saturated-output",
            "certificate",
            reading(
                clipped_wrong=16,
                clipped_right=16,
                clipped_gradient=False,
                variables=dict.fromkeys(KERNELS, NO_GRADIENT),
            ),
            reading(clipped_wrong=0, clipped_right=32),
        ),
        (
            "saturated-output",
            # The samples that are not clipped have a gradient, and the others follow: most such runs learn.
            "hint",
            reading(clipped_wrong=16, clipped_right=10, clipped_gradient=False, loss_training=8.0),
            reading(clipped_wrong=3, clipped_right=3, clipped_gradient=False),
        ),
        ("saturated-output", "hint", reading(clipped_wrong=16, clipped_right=10, clipped_gradient=True), reading()),
        (
            "saturated-layer",
            "hint",
            reading(layers={"second": {"saturated_units": 9, "activation": "tanh"}}),
            reading(layers={"second": {"saturated_units": 6, "activation": "tanh"}}),
        ),
        (
            "saturated-layer",
            "certificate",
            reading(
                layers={"first": {"saturated_units": 16, "activation": "tanh"}}, variables={"first/kernel": NO_GRADIENT}
            ),
            # The output may be as sure as it likes.
            reading(layers={"head": {"saturated_units": 16, "activation": "sigmoid"}}),
        ),
        (
            "constant-output",
            "forecast",
            reading(
                layers={"second": CONSTANT, "head": CONSTANT},
                variables={"first/kernel": NO_GRADIENT, "second/kernel": NO_GRADIENT},
            ),
            # As with a last layer that starts from 0: no gradient before it yet, but one of its own.
            reading(layers={"head": CONSTANT}, variables={"first/kernel": NO_GRADIENT, "second/kernel": NO_GRADIENT}),
        ),
        ("vanishing-gradient", "hint", falling(0.2), falling(0.4)),
        ("vanishing-gradient", "forecast", falling(0.03, sgd_rate=0.1), falling(0.9, sgd_rate=0.1)),
        # At a rate as low as that no layer moves: it is not the gradient.
        ("vanishing-gradient", "forecast", falling(0.03, sgd_rate=0.1), falling(0.9, sgd_rate=1e-7)),
        ("vanishing-gradient", "hint", falling(0.3, sgd_rate=0.005), falling(0.9, sgd_rate=1e-5)),
        ("vanishing-gradient", "forecast", falling(0.02, epsilon=1e-5), falling(0.9, epsilon=1e-5)),
        (
            "exploding-gradient",
            "forecast",
            reading(variables={"head/kernel": {"gradient_norm": 4e4}}, sgd_rate=0.01),
            reading(variables={"head/kernel": {"gradient_norm": 40.0}}, sgd_rate=0.01),
        ),
        ("initial-loss-far-above-chance", "hint", reading(loss_training=5.0), reading(loss_training=2.5)),
        (
            "dead-units",
            "hint",
            reading(layers={"second": {"zero_units": 13}}),
            reading(layers={"second": {"zero_units": 11}}),
        ),
        (
            "dead-units",
            "hint",
            reading(layers={"second": {"zero_units": 31, "units": 32}}),
            reading(layers={"second": {"zero_units": 3, "units": 32}}),
        ),
        (
            "loss-without-slope",
            "certificate",
            reading(variables=dict.fromkeys(KERNELS, NO_GRADIENT), flat_loss=True),
            # As with a loss that is added in a layer, beside one for the looks.
            reading(flat_loss=True),
        ),
        ("loss-rewards-wrong-answers", "forecast", reading(wrong_way=1.0), reading(wrong_way=0.9)),
        ("samples-mixed", "forecast", reading(mixing=0.1), reading(mixing=1e-6)),
        ("penalty-dominates-loss", "hint", reading(penalty=7.0), reading(penalty=6.0)),
        # What the weights cost says nothing about the answers.
        ("initial-loss-far-above-chance", "hint", reading(loss_training=5.0), reading(loss_training=5.0, penalty=4.3)),
        ("dropout-leaves-nothing", "forecast", dropping(0.999), dropping(0.5)),
        ("dropout-leaves-nothing", "hint", dropping(0.95), dropping(0.9)),
        (
            "unconnected-weights",
            "hint",
            reading(variables={"second/kernel": UNCONNECTED}),
            reading(),
        ),
        (
            "unconnected-weights",
            "certificate",
            reading(variables=dict.fromkeys(KERNELS, UNCONNECTED)),
            reading(),
        ),
    ],
)
def test_each_cause_is_found_and_its_healthy_twin_is_not(code, confidence, sick, healthy):
    """The smallest sick reading, how sure it is, and one like it that is well."""
    if code == "no-trainable-weights":
        sick = dataclasses.replace(sick, variables=())
    assert found(sick) == [(code, confidence)]
    assert found(healthy) == []


def test_modes_that_disagree_count_only_once_training_has_begun():
    """Learned in training mode and guessing in inference mode: young averages may settle, old ones will not."""
    sick = reading(loss_training=0.1, loss_inference=0.9, batchnorm_momentum=0.99, updates=20)
    assert found(sick) == []
    assert after(sick) == [("train-and-inference-disagree", "hint")]
    assert after(dataclasses.replace(sick, updates=2000)) == [("train-and-inference-disagree", "forecast")]
    assert after(dataclasses.replace(sick, batchnorm_momentum=None)) == [("train-and-inference-disagree", "forecast")]
    assert after(dataclasses.replace(sick, loss_inference=0.3)) == []
    # Dropout makes the loss in training mode the larger one.
    assert after(reading(loss_training=0.9, loss_inference=0.1)) == []


def test_momentum_and_weight_decay_leave_no_certificate():
    """A gradient of 0 does not stop weights that something else moves."""
    zero = dict.fromkeys(KERNELS, NO_GRADIENT)
    dead = reading(layers={"second": DEAD, "head": CONSTANT}, variables=zero, coasting=True)
    assert after(dead) == [("dead-layer", "forecast")]
    clipped = reading(clipped_wrong=16, clipped_right=16, clipped_gradient=False, variables=zero, coasting=True)
    assert after(clipped) == [("saturated-output", "forecast")]


def test_a_constant_output_with_a_gradient_counts_only_once_training_has_begun():
    """Before training a last layer of zeros is no fault; later a constant output is worth a word."""
    collapsed = reading(layers={"head": CONSTANT})
    assert found(collapsed) == []
    assert after(collapsed) == [("constant-output", "hint")]
    assert after(dataclasses.replace(collapsed, input_spread=0.0)) == []


@pytest.mark.parametrize(
    ("head", "owned", "change"),
    [
        ({"activation": "softmax"}, True, "x = (x - x.mean(axis=0))"),
        ({"activation": None}, True, '"glorot_uniform"'),
        ({"activation": None}, False, "keras.layers.Identity"),
    ],
    ids=["saturated", "weights", "no weights"],
)
def test_what_to_change_about_a_constant_output_goes_by_its_layer(head, owned, change):
    """Sums that saturate an activation are made smaller, weights drawn anew, a layer without weights taken out."""
    sick = reading(layers={"head": CONSTANT | head})
    if not owned:
        sick = dataclasses.replace(sick, variables=sick.variables[:2])
    (finding,) = check_layers(sick, before_training=False, chance_loss=CHANCE)
    assert finding.code == "constant-output"
    assert change in finding.fix


def test_nothing_trainable_before_a_constant_is_a_certificate():
    """If all that could change it comes later, it stays."""
    sick = reading(layers={"first": CONSTANT, "second": CONSTANT, "head": CONSTANT})
    sick = dataclasses.replace(sick, variables=(variable("head/kernel", 2),))
    assert found(sick) == [("constant-output", "certificate")]


def test_a_last_layer_that_starts_small_makes_no_gradient_vanish():
    """Weights of 1e-4 in the last layer take the gradient away from the rest, until they have grown."""
    small = {"norm": 1e-3, "gradient_norm": 0.4}
    before = {"norm": 4.0, "gradient_norm": 1e-5}
    variables = {"first/kernel": before, "second/kernel": before, "head/kernel": small}
    assert found(reading(variables=variables, sgd_rate=0.01)) == []


def test_the_place_where_nan_begins_is_named():
    """Inputs before weights, weights before outputs, outputs before the loss, the loss before gradients."""
    bad = {"second": {"finite": False}, "head": {"finite": False, "activation": "sigmoid"}}
    cases = [
        (reading(loss_training=NAN, layers=bad, finite_inputs=False), "the inputs"),
        (reading(loss_training=NAN, layers=bad, bad_variables=("m/second/kernel",)), "`m/second/kernel`"),
        (reading(loss_training=NAN, layers=bad), "output of layer `second`"),
        (reading(loss_training=NAN), "the loss: all outputs"),
        (reading(variables={"second/kernel": {"gradient_norm": NAN}}), "on its way back at `second/kernel`"),
    ]
    for sick, place in cases:
        assert place in check_layers(sick, before_training=True, chance_loss=None)[0].sentence


RNG = np.random.default_rng(0)
SIGN = RNG.permutation(np.arange(96) % 2)
X = RNG.normal(size=(96, 4)).astype("float32")
X[:, 0] += 3.0 * SIGN - 1.5
Y = SIGN.astype("float32")
XOR = RNG.choice([-1.0, 1.0], size=(96, 4)).astype("float32")


@pytest.fixture(autouse=True)
def _seed():
    """The same initial weights in every run of a test."""
    keras.utils.set_random_seed(1)


def binary(*layers, features=4, optimizer=None, loss="binary_crossentropy"):
    """A compiled classifier of two classes."""
    model = keras.Sequential([keras.Input((features,)), *layers])
    model.compile(optimizer or keras.optimizers.Adam(0.03), loss)
    return model


def look(model, x, y, before_training=True):
    """Findings on the first 32 samples."""
    batch = x[:32], y[:32], np.ones(len(x[:32]), "float32")
    return check_layers(read_layers(model, [batch]), before_training=before_training, chance_loss=CHANCE)


def train(model, x, y, steps):
    """Full batches in one epoch; the loss before each step is not looked at."""
    repeated = np.concatenate([x] * steps), np.concatenate([y] * steps)
    return model.fit(*repeated, batch_size=len(x), shuffle=False, verbose=0)


def best_accuracy(model, x, y):
    """The largest share of right answers after 30, 60, ... 150 steps."""
    shares = []
    for _ in range(5):
        train(model, x, y, 30)
        shares.append(float(np.mean((to_numpy(model(x))[:, 0] > 0.5) == y)))
    return max(shares)


def nan_weights():
    # On torch, a binary cross-entropy of NaN is an error.
    model = binary(Dense(8, "relu"), Dense(1, "sigmoid"), loss="mse")
    model.layers[0].kernel.assign(np.full((4, 8), np.nan))
    return model, X


def nothing_trainable():
    model = binary(Dense(8, "relu"), Dense(1, "sigmoid"))
    model.trainable = False
    model.compile(keras.optimizers.Adam(0.03), "binary_crossentropy")
    return model, X


def all_alike():
    return binary(Dense(16, "tanh", kernel_initializer="ones"), Dense(1, "sigmoid", kernel_initializer="ones")), XOR


def dead():
    model = binary(Dense(8, "relu"), Dense(8, "relu"), Dense(1, "sigmoid"))
    model.layers[1].bias.assign(np.full(8, -50.0))
    return model, X


def sure_and_wrong():
    model = binary(Dense(1, "sigmoid"), keras.layers.Reshape((1,)))
    model.layers[0].kernel.assign(np.array([[-1.0], [0.0], [0.0], [0.0]]))
    return model, X * 1000


def saturated():
    return binary(Dense(16, "tanh"), Dense(1, "sigmoid")), X + 30000


def cut():
    return binary(Dense(1), keras.layers.LayerNormalization(), Dense(8, "tanh"), Dense(1, "sigmoid")), X


def deep_sigmoid():
    return binary(*[Dense(16, "sigmoid") for _ in range(14)], Dense(1, "sigmoid")), X


@pytest.mark.parametrize(
    ("sick", "code", "confidence", "goal"),
    [
        (nan_weights, "non-finite-first-pass", "certificate", "separable"),
        (nothing_trainable, "no-trainable-weights", "certificate", "separable"),
        (all_alike, "symmetric-weights", "certificate", "xor"),
        (dead, "dead-layer", "certificate", "separable"),
        (sure_and_wrong, "saturated-output", "hint", "separable"),
        (saturated, "saturated-layer", "certificate", "separable"),
        (cut, "constant-output", "forecast", "separable"),
        (deep_sigmoid, "vanishing-gradient", "forecast", "separable"),
    ],
)
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
def test_a_sick_run_learns_once_its_fix_is_applied(sick, code, confidence, goal):
    """Found before training; stuck as it is; and not with the code of the report."""
    model, x = sick()
    y = Y if goal == "separable" else (x[:, 0] * x[:, 1] > 0).astype("float32")
    finding = look(model, x, y)[0]
    assert (finding.code, finding.confidence) == (code, confidence)
    keras.utils.set_random_seed(2)
    stuck = best_accuracy(model, x, y)
    names = {"model": model, "x": x, "y": y, "keras": keras}
    exec(finding.fix, names)
    assert not stuck > 0.75
    assert best_accuracy(names["model"], names["x"], y) > 0.85
    later = look(names["model"], names["x"], y, before_training=False)
    assert code not in [f.code for f in later if f.confidence != "hint"]


def mean_square(model, x, y):
    """Mean squared error of one unit."""
    return float(np.mean((to_numpy(model(x))[:, 0] - y) ** 2))


def test_an_exploding_gradient_is_forecast_and_clipping_helps():
    """SGD on unscaled numbers: infinite within a few steps, and not with a clipped gradient."""
    x = X * 100
    y = x @ np.array([1.0, -1.0, 0.5, 0.0], "float32")
    model = binary(Dense(1), optimizer=keras.optimizers.SGD(0.05), loss="mse")
    batch = x[:32], y[:32], np.ones(32, "float32")
    finding = check_layers(read_layers(model, [batch]), before_training=True, chance_loss=None)[0]
    assert (finding.code, finding.confidence) == ("exploding-gradient", "forecast")
    names = {"model": model, "x": x, "y": y, "keras": keras}
    exec(finding.fix, names)
    before = mean_square(names["model"], x, y)
    train(model, x, y, 150)
    train(names["model"], x, y, 60)
    assert not np.isfinite(mean_square(model, x, y))
    assert mean_square(names["model"], x, y) < 0.1 * before


def test_batchnorm_that_lags_behind_is_found_and_a_lower_momentum_helps():
    """A few updates: perfect in training mode, guessing in inference mode; not with the code of the report."""
    model = binary(
        keras.layers.BatchNormalization(momentum=0.999),
        Dense(8, "relu"),
        Dense(1, "sigmoid"),
        optimizer=keras.optimizers.Adam(0.05),
    )
    x = X * 10 + 50
    train(model, x, Y, 30)
    finding = look(model, x, Y, before_training=False)[0]
    assert (finding.code, finding.confidence) == ("train-and-inference-disagree", "hint")
    names = {"model": model, "keras": keras}
    exec(finding.fix, names)
    train(names["model"], x, Y, 30)
    assert names["model"].evaluate(x, Y, verbose=0) < 0.5 < CHANCE < model.evaluate(x, Y, verbose=0)


def test_a_first_loss_far_above_chance_is_found_and_scaled_inputs_help():
    """Inputs in the hundreds: sure of wrong answers before the first step."""
    model = binary(Dense(1), loss=keras.losses.BinaryCrossentropy(from_logits=True))
    x = X * 100
    finding = look(model, x, Y)[0]
    assert finding.code == "initial-loss-far-above-chance"
    names = {"model": model, "x": x, "keras": keras}
    exec(finding.fix, names)
    assert look(names["model"], names["x"], Y) == []


def test_dead_units_are_found_and_another_activation_helps():
    """Three of four units dead: a hint; with leaky units none is."""
    model = binary(Dense(16, "relu"), Dense(1, "sigmoid"))
    model.layers[0].bias.assign([0.0] * 3 + [-50.0] * 13)
    finding = look(model, X, Y)[0]
    assert (finding.code, finding.confidence) == ("dead-units", "hint")
    names = {"model": model, "keras": keras}
    exec(finding.fix, names)
    assert look(names["model"], X, Y) == []


def test_layers_that_start_from_zero_behind_a_zero_head_are_no_fault():
    """Residual branches that start from 0: without a gradient at first, told apart after one step."""
    inputs = keras.Input((4,))
    x = Dense(8)(inputs)
    x = keras.layers.Add()([x, Dense(8, kernel_initializer="zeros")(keras.layers.Activation("relu")(x))])
    model = keras.Model(inputs, Dense(1, "sigmoid", kernel_initializer="zeros")(x))
    model.compile(keras.optimizers.Adam(0.03), "binary_crossentropy")
    assert look(model, X, Y) == []
    assert best_accuracy(model, X, Y) > 0.85


def test_unconnected_weights_are_listed():
    """A cut in the graph: the variables before it are named, on every backend."""

    class Cut(keras.layers.Layer):
        def call(self, x):
            return keras.ops.stop_gradient(x)

    findings = look(binary(Dense(8, "relu", name="lost"), Cut(), Dense(1, "sigmoid")), X, Y)
    assert [(f.code, f.confidence) for f in findings] == [("unconnected-weights", "hint")]
    assert "lost/kernel`" in findings[0].sentence
    assert findings[0].numbers == {"num_unconnected": 2, "num_variables": 4}
    exec(findings[0].fix, {"model": binary(Dense(1))})


IMAGES = RNG.normal(size=(32, 8, 8, 3)).astype("float32")
SEQUENCES = RNG.normal(size=(32, 6, 4)).astype("float32")
WORDS = RNG.integers(0, 20, (32, 6))
PIXELS = RNG.uniform(size=(32, 196)).astype("float32")


def _norm(units):
    return [Dense(units, use_bias=False), keras.layers.BatchNormalization(), keras.layers.Activation("relu")]


def _residual():
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    hidden = layers.Conv2D(8, 3, padding="same")(inputs)
    for gamma in ("ones", "zeros"):
        branch = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(hidden)))
        branch = layers.BatchNormalization(gamma_initializer=gamma)(layers.Conv2D(8, 3, padding="same")(branch))
        hidden = layers.ReLU()(layers.add([hidden, branch]))
    return keras.Model(inputs, Dense(2, "softmax")(layers.GlobalAveragePooling2D()(hidden)))


def _attention():
    layers = keras.layers
    inputs = keras.Input((6,), dtype="int32")
    hidden = layers.Embedding(20, 8)(inputs)
    hidden = layers.LayerNormalization()(layers.add([hidden, layers.MultiHeadAttention(2, 4)(hidden, hidden)]))
    return keras.Model(inputs, Dense(2, "softmax")(layers.GlobalAveragePooling1D()(Dense(16, "gelu")(hidden))))


def _frozen():
    base = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(8, 3, activation="relu"), keras.layers.Flatten()]
    )
    base.trainable = False
    return keras.Sequential([keras.Input((8, 8, 3)), base, Dense(2, "softmax")])


def _chain(x, *layers, dtype=None):
    return keras.Sequential([keras.Input(x.shape[1:], dtype=dtype), *layers, Dense(2, "softmax")])


HEALTHY = {
    "logistic": (lambda: _chain(PIXELS), PIXELS),
    "dense": (lambda: _chain(PIXELS, Dense(32, "relu"), Dense(16, "relu")), PIXELS),
    "narrow": (lambda: _chain(PIXELS, Dense(6, "relu"), Dense(6, "relu")), PIXELS),
    "wide": (lambda: _chain(PIXELS, Dense(256, "relu")), PIXELS),
    "tanh": (lambda: _chain(PIXELS, *[Dense(32, "tanh") for _ in range(6)]), PIXELS),
    "sigmoid": (lambda: _chain(PIXELS, Dense(16, "sigmoid"), Dense(16, "sigmoid")), PIXELS),
    "selu": (lambda: _chain(PIXELS, *[Dense(32, "selu", "lecun_normal") for _ in range(10)]), PIXELS),
    "deep": (lambda: _chain(PIXELS, *[Dense(64, "relu") for _ in range(10)]), PIXELS),
    "34 layers": (
        lambda: _chain(PIXELS, *[Dense(64, "relu", kernel_initializer="he_normal") for _ in range(34)]),
        PIXELS,
    ),
    "deep batchnorm": (lambda: _chain(PIXELS, *[part for _ in range(10) for part in _norm(32)]), PIXELS),
    "convolutional": (
        lambda: _chain(
            IMAGES,
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.MaxPooling2D(),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
        ),
        IMAGES,
    ),
    "residual": (_residual, IMAGES),
    "frozen base": (_frozen, IMAGES),
    "dropout": (lambda: _chain(PIXELS, Dense(64, "relu"), keras.layers.Dropout(0.5), Dense(64, "relu")), PIXELS),
    "lstm": (lambda: _chain(SEQUENCES, keras.layers.LSTM(8)), SEQUENCES),
    "gru": (
        lambda: _chain(
            SEQUENCES, keras.layers.Bidirectional(keras.layers.GRU(4, return_sequences=True)), keras.layers.SimpleRNN(8)
        ),
        SEQUENCES,
    ),
    "embedding": (
        lambda: _chain(WORDS, keras.layers.Embedding(20, 8), keras.layers.GlobalAveragePooling1D(), dtype="int32"),
        WORDS,
    ),
    "attention": (_attention, WORDS),
    "last layer of zeros": (
        lambda: keras.Sequential(
            [keras.Input((196,)), Dense(32, "relu"), Dense(32, "relu"), Dense(2, "softmax", kernel_initializer="zeros")]
        ),
        PIXELS,
    ),
    "small last layer": (
        lambda: keras.Sequential(
            [
                keras.Input((196,)),
                Dense(32, "relu"),
                Dense(32, "relu"),
                Dense(2, "softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=1e-4)),
            ]
        ),
        PIXELS,
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_network_gives_no_alarm(name):
    """Before training, neither certificate nor forecast on any standard network."""
    make, x = HEALTHY[name]
    keras.utils.set_random_seed(0)
    model = make()
    model.compile("adam", "sparse_categorical_crossentropy")
    seen = read_layers(model, [(x, np.arange(32) % 2, np.ones(32, "float32"))])
    for optimizer in ({"epsilon": 1e-7}, {"epsilon": None, "sgd_rate": 0.01}):
        alarms = [code for code, confidence in found(dataclasses.replace(seen, **optimizer)) if confidence != "hint"]
        assert alarms == []


def test_every_cause_is_among_the_tests():
    """Each code above is one of the catalogue, and none is left out."""
    parameters = test_each_cause_is_found_and_its_healthy_twin_is_not.pytestmark[0].args[1]
    tested = {code for code, *_ in parameters} | {"train-and-inference-disagree"}
    assert tested == {cause.code for cause in CAUSES} | {"samples-mixed", "penalty-dominates-loss"}
