"""What does not fit between output layer, loss, metrics and labels: each with its healthy twin."""

import functools

import keras
import numpy as np
import pytest
from stuck.heads import FIVE, ONE_HOT, RNG, SEVERAL, TWO, VALUES, compiled, dense, found, subclassed

from keras_clr._keras.heads import read_heads
from keras_clr._keras.tensors import to_numpy
from keras_clr.stuck.checks.data import check_inputs
from keras_clr.stuck.checks.head import check_head

layers, losses, metrics = keras.layers, keras.losses, keras.metrics


class OwnSquare(losses.Loss):
    """Written by hand; of other shapes than (n, 1) it makes (n, n)."""

    def call(self, y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_pred - y_true), axis=-1)


def stepwise(axis):
    return lambda: [layers.Dense(5), layers.Softmax(axis=axis)]


TAGS = RNG.integers(0, 5, (80, 6))
# Sick head, loss and labels (and the shape of an input); a twin that differs in what makes it sick; what is said of the
# sick one.
PAIRS = {
    "softmax over one unit": (
        (dense(1, "softmax"), "binary_crossentropy", TWO),
        (dense(1, "sigmoid"), "binary_crossentropy", TWO),
        ("softmax-over-one-unit", "certificate"),
    ),
    "sigmoid, then softmax over one unit, with a loss for regression": (
        (dense(1, "sigmoid", "softmax"), "mean_absolute_error", TWO),
        (dense(1), "mean_absolute_error", VALUES),
        ("softmax-over-one-unit", "certificate"),
    ),
    "a loss that normalises over one unit": (
        (dense(1, "sigmoid"), "sparse_categorical_crossentropy", TWO),
        (dense(2, "softmax"), "sparse_categorical_crossentropy", TWO),
        ("softmax-over-one-unit", "certificate"),
    ),
    "softmax twice": (
        (dense(5, "softmax", "softmax"), "categorical_crossentropy", ONE_HOT),
        (dense(5, "softmax"), "categorical_crossentropy", ONE_HOT),
        ("double-activation", "certificate"),
    ),
    "sigmoid twice": (
        (dense(1, "sigmoid", "sigmoid"), "binary_crossentropy", TWO),
        (dense(1, "sigmoid"), "binary_crossentropy", TWO),
        ("double-activation", "certificate"),
    ),
    "relu, then softmax": (
        (dense(5, "relu", "softmax"), "sparse_categorical_crossentropy", FIVE),
        (dense(5, "linear", "softmax"), "sparse_categorical_crossentropy", FIVE),
        ("double-activation", "forecast"),
    ),
    "tanh in front of a loss of logits": (
        (dense(1, "tanh"), losses.BinaryCrossentropy(from_logits=True), TWO),
        (dense(1), losses.BinaryCrossentropy(from_logits=True), TWO),
        ("from-logits-on-probabilities", "certificate"),
    ),
    "relu in front of a loss of logits": (
        (dense(5, "relu"), losses.SparseCategoricalCrossentropy(from_logits=True), FIVE),
        (dense(5), losses.SparseCategoricalCrossentropy(from_logits=True), FIVE),
        ("from-logits-on-probabilities", "forecast"),
    ),
    "no activation, binary": (
        (dense(1), "binary_crossentropy", TWO),
        (dense(1), losses.BinaryCrossentropy(from_logits=True), TWO),
        ("cross-entropy-without-activation", "forecast"),
    ),
    "tanh, categorical": (
        (dense(5, "tanh"), "categorical_crossentropy", ONE_HOT),
        (dense(5, "softmax"), "categorical_crossentropy", ONE_HOT),
        ("cross-entropy-without-activation", "forecast"),
    ),
    "relu, sparse": (
        (dense(5, "relu"), "sparse_categorical_crossentropy", FIVE),
        (dense(5, "exponential"), "sparse_categorical_crossentropy", FIVE),
        ("cross-entropy-without-activation", "forecast"),
    ),
    "sigmoid, categorical": (
        (dense(5, "sigmoid"), "categorical_crossentropy", ONE_HOT),
        (dense(5, "softmax"), "categorical_crossentropy", ONE_HOT),
        ("activation-does-not-match-loss", "hint"),
    ),
    "softmax on several labels a row": (
        (dense(5, "softmax"), "binary_crossentropy", SEVERAL),
        (dense(5, "sigmoid"), "binary_crossentropy", SEVERAL),
        ("activation-does-not-match-loss", "forecast"),
    ),
    "fewer units than classes": (
        (dense(3, "softmax"), "sparse_categorical_crossentropy", FIVE),
        (dense(7, "softmax"), "sparse_categorical_crossentropy", FIVE),
        ("fewer-units-than-classes", "certificate"),
    ),
    "classes counted from 1": (
        (dense(5, "softmax"), "sparse_categorical_crossentropy", FIVE + 1),
        (dense(5, "softmax"), "sparse_categorical_crossentropy", FIVE),
        ("fewer-units-than-classes", "certificate"),
    ),
    "one unit for five columns": (
        (dense(1, "sigmoid"), "binary_crossentropy", ONE_HOT),
        (dense(5, "sigmoid"), "binary_crossentropy", ONE_HOT),
        ("fewer-units-than-classes", "certificate"),
    ),
    "one-hot labels, sparse loss": (
        (dense(5, "softmax"), "sparse_categorical_crossentropy", ONE_HOT),
        (dense(5, "softmax"), "sparse_categorical_crossentropy", FIVE[:, None]),
        ("one-hot-labels-with-sparse-loss", "certificate"),
    ),
    "class numbers, one-hot loss": (
        (dense(5, "softmax"), "categorical_crossentropy", FIVE),
        (dense(5, "softmax"), "categorical_crossentropy", ONE_HOT),
        ("class-numbers-with-one-hot-loss", "certificate"),
    ),
    "class numbers against five units, in silence": (
        (dense(5, "softmax"), "mean_squared_error", FIVE[:, None]),
        (dense(5), "mean_squared_error", RNG.normal(size=(80, 5))),
        ("class-numbers-with-one-hot-loss", "forecast"),
    ),
    "sigmoid below the targets": (
        (dense(1, "sigmoid"), "mean_squared_error", 10 * VALUES),
        (dense(1), "mean_squared_error", 10 * VALUES),
        ("bounded-output-cannot-reach-targets", "certificate"),
    ),
    "relu for negative targets": (
        (dense(1, "relu"), "mean_squared_error", VALUES),
        (dense(1, "relu"), "mean_squared_error", np.abs(VALUES)),
        ("bounded-output-cannot-reach-targets", "certificate"),
    ),
    "sigmoid under a hinge": (
        (dense(1, "sigmoid"), "hinge", 2 * TWO - 1),
        (dense(1, "tanh"), "hinge", 2 * TWO - 1),
        ("bounded-output-cannot-reach-targets", "certificate"),
    ),
    "softmax over the steps": (
        (stepwise(1), "sparse_categorical_crossentropy", TAGS, (6, 4)),
        (stepwise(-1), "sparse_categorical_crossentropy", TAGS, (6, 4)),
        ("softmax-over-other-axis", "forecast"),
    ),
    "softmax over the steps, rows": (
        (stepwise(-2), "categorical_crossentropy", np.eye(5)[TAGS], (6, 4)),
        (stepwise(2), "categorical_crossentropy", np.eye(5)[TAGS], (6, 4)),
        ("softmax-over-other-axis", "forecast"),
    ),
    "a loss of one's own that stretches labels": (
        (dense(1), OwnSquare(), VALUES),
        (dense(1), OwnSquare(), VALUES[:, None]),
        ("shapes-stretched", "forecast"),
    ),
    "the sum of a batch": (
        (dense(1), losses.MeanSquaredError(reduction="sum"), VALUES),
        (dense(1), losses.MeanSquaredError(), VALUES),
        ("loss-summed", "hint"),
    ),
    "squares of differences of classes": (
        (dense(5, "softmax"), "mean_squared_error", ONE_HOT),
        (dense(5), "mean_squared_error", RNG.normal(size=(80, 5))),
        ("regression-loss-on-classes", "hint"),
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_head_that_does_not_fit_is_named_and_its_twin_is_not(name):
    """The sick case is found with its confidence; the twin has nothing of the kind, and nothing to be alarmed about."""
    sick, twin, (code, confidence) = PAIRS[name]
    (head, loss, labels, *shape), (twin_head, twin_loss, twin_labels, *_) = sick, twin
    assert found(compiled(head, loss, (), *shape), labels)[code] == confidence
    healthy = found(compiled(twin_head, twin_loss, (), *shape), twin_labels)
    assert code not in healthy
    assert set(healthy.values()) <= {"hint"}


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_logits_that_the_loss_sees_are_no_certificate(backend, kind):
    """from_logits=True on probabilities: TensorFlow looks behind them, and it is a hint there; else a certificate."""
    loss = (
        losses.SparseCategoricalCrossentropy(from_logits=True)
        if kind == "softmax"
        else losses.BinaryCrossentropy(from_logits=True)
    )
    units, labels = (5, FIVE) if kind == "softmax" else (1, TWO)
    expected = "hint" if backend == "tensorflow" else "certificate"
    assert found(compiled(dense(units, kind), loss), labels)["from-logits-on-probabilities"] == expected
    hidden = compiled(dense(units, kind, behind=[layers.Reshape((units,))]), loss)
    assert found(hidden, labels)["from-logits-on-probabilities"] == "certificate"


MISREAD = {
    "accuracy of a regression": (dense(1), "mean_squared_error", VALUES, "accuracy", "certificate"),
    "labels -1 and 1": (dense(1, "tanh"), "hinge", 2 * TWO - 1, "accuracy", "certificate"),
    "threshold 0 on probabilities": (
        dense(1, "sigmoid"),
        "binary_crossentropy",
        TWO,
        metrics.BinaryAccuracy(threshold=0.0),
        "certificate",
    ),
    "threshold 0.5 on logits": (dense(1), losses.BinaryCrossentropy(from_logits=True), TWO, "accuracy", "hint"),
    "AUC on logits": (dense(1), losses.BinaryCrossentropy(from_logits=True), TWO, metrics.AUC(), "hint"),
    "several labels a row": (dense(5, "sigmoid"), "binary_crossentropy", SEVERAL, "accuracy", "hint"),
    "entries instead of samples": (
        dense(5, "softmax"),
        "categorical_crossentropy",
        ONE_HOT,
        "binary_accuracy",
        "hint",
    ),
    "rows instead of numbers": (
        dense(5, "softmax"),
        "sparse_categorical_crossentropy",
        FIVE,
        metrics.CategoricalAccuracy(),
        "forecast",
    ),
    "equal to the last bit": (dense(1, "sigmoid"), "binary_crossentropy", TWO, metrics.Accuracy(), "forecast"),
}


@pytest.mark.parametrize("name", MISREAD)
def test_a_metric_that_misleads_is_named(name):
    """The metric is found, the same head without it is healthy, and with the metric of the fix as well."""
    head, loss, labels, metric, confidence = MISREAD[name]
    model = compiled(head, loss, [metric])
    (finding,) = check_head(read_heads(model)[0], labels)
    assert (finding.code, finding.confidence) == ("metric-misreads-output", confidence)
    assert found(compiled(head, loss, []), labels) == {}
    pasted = {"model": model, "y": labels}
    exec(finding.fix, pasted)
    assert found(pasted["model"], pasted["y"]) == {}


def _functional(outputs, loss, labels, measures=None):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, outputs(inputs))
    model.compile("adam", loss, metrics=measures)
    return model, labels


class _Counting(losses.Loss):
    """Notes in a variable of the user's what it has seen."""

    seen = None

    def call(self, y_true, y_pred):
        self.seen.assign(0.9 * self.seen + 0.1)
        return keras.ops.mean(keras.ops.square(y_pred - y_true), axis=-1)


def test_an_own_loss_is_tried_without_a_trace():
    """What it keeps in a variable stays as it was."""
    loss = _Counting()
    loss.seen = keras.Variable(0.0)
    model = compiled(dense(1), loss, [])
    assert "shapes-stretched" in found(model, VALUES.astype("float32"))
    assert to_numpy(loss.seen) == 0.0


def test_a_softmax_function_over_another_axis():
    """`keras.ops.softmax` with an axis, as in a functional model."""
    for axis, expected in ((1, {"softmax-over-other-axis": "forecast"}), (-1, {}), (2, {})):
        inputs = keras.Input(STEPS)
        model = keras.Model(inputs, keras.ops.softmax(layers.Dense(5)(inputs), axis=axis))
        model.compile("adam", "sparse_categorical_crossentropy")
        assert found(model, TAGS) == expected


def test_a_metric_on_labels_that_are_wrong_themselves_is_not_named():
    """Of labels 0 to 4 under a binary loss, the labels are the cause, and what the accuracy makes of them is not."""
    assert found(compiled(dense(1, "sigmoid"), "binary_crossentropy"), FIVE) == {"labels-outside-range": "certificate"}


def test_what_is_no_table_of_numbers_is_left_alone():
    """Strings, objects, nothing at all, one number, complex numbers, too many axes: no finding and no error."""
    (head,) = read_heads(compiled(dense(1, "softmax"), "binary_crossentropy"))
    for labels in [["a", "b"], [None, None], np.zeros((0, 1)), 3.0, [1j, 0j], np.zeros((4, 2, 2, 2))]:
        assert check_head(head, np.asarray(labels)) == []


def _own_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred))


class _SecondColumn(losses.Loss):
    def call(self, y_true, y_pred):
        return y_pred[:, 1] - y_true[:, 1]


class _Numbers(losses.Loss):
    def call(self, y_true, y_pred):
        rows = keras.ops.one_hot(keras.ops.cast(y_true[..., 0], "int32"), y_pred.shape[-1])
        return -keras.ops.sum(rows * keras.ops.log(y_pred + 1e-7), axis=-1)


class _Noisy(losses.Loss):
    def call(self, y_true, y_pred):
        y_true = keras.ops.reshape(y_true, (-1, 1))
        return keras.ops.mean(keras.ops.square(y_pred - y_true + 0.1 * keras.random.normal((1,))), axis=-1)


class _Ranking(losses.Loss):
    """Of all pairs of samples, on purpose."""

    def call(self, y_true, y_pred):
        y_true, y_pred = keras.ops.reshape(y_true, (-1,)), keras.ops.reshape(y_pred, (-1,))
        margin = (y_pred[:, None] - y_pred[None, :]) * keras.ops.sign(y_true[:, None] - y_true[None, :])
        return keras.ops.mean(keras.ops.relu(1.0 - margin), axis=-1)


class Softmax(layers.Layer):
    """Not Keras' own: it has no axis."""

    def call(self, x):
        return keras.ops.softmax(x)


STEPS = (6, 4)
STEP_ROWS = np.eye(6)[RNG.integers(0, 6, 80)][:, :, None]
HEALTHY = {
    "binary": lambda: (compiled(dense(1, "sigmoid"), "binary_crossentropy"), TWO),
    "binary, labels as a column of booleans": lambda: (compiled(dense(1, "sigmoid"), "bce"), TWO[:, None] == 1),
    "logits": lambda: (compiled(dense(1), losses.BinaryCrossentropy(from_logits=True)), TWO),
    "two units": lambda: (compiled(dense(2, "softmax"), "sparse_categorical_crossentropy"), TWO),
    "sparse": lambda: (compiled(dense(5, "softmax"), "sparse_categorical_crossentropy"), FIVE),
    "sparse logits": lambda: (compiled(dense(5), losses.SparseCategoricalCrossentropy(from_logits=True)), FIVE),
    "one-hot": lambda: (compiled(dense(5, "softmax"), "categorical_crossentropy"), ONE_HOT),
    "label smoothing": lambda: (
        compiled(dense(5, "softmax"), losses.CategoricalCrossentropy(label_smoothing=0.1)),
        ONE_HOT,
    ),
    "smoothed labels": lambda: (compiled(dense(5, "softmax"), "categorical_crossentropy"), 0.9 * ONE_HOT + 0.02),
    "more units than classes": lambda: (compiled(dense(3, "softmax"), "categorical_crossentropy"), np.eye(3)[TWO]),
    "several labels": lambda: (compiled(dense(5, "sigmoid"), "binary_crossentropy"), SEVERAL),
    "focal": lambda: (compiled(dense(1, "sigmoid"), "binary_focal_crossentropy"), TWO),
    "regression": lambda: (compiled(dense(1), "mse", ["mae"]), VALUES),
    "regression, absolute": lambda: (compiled(dense(1), "mae", ["mse"]), VALUES),
    "regression, huber": lambda: (compiled(dense(1), losses.Huber(), ["mae"]), VALUES),
    "large targets": lambda: (compiled(dense(1), "mse", ["mae"]), 1e4 * VALUES),
    "relu for positive targets": lambda: (compiled(dense(1, "relu"), "mse", ["mae"]), np.abs(VALUES)),
    "xor by squares": lambda: (compiled(dense(1, "sigmoid"), "mse"), TWO),
    "autoencoder, mse": lambda: (compiled(dense(4, "sigmoid"), "mse", []), RNG.uniform(size=(80, 4))),
    "autoencoder, bce": lambda: (compiled(dense(4, "sigmoid"), "bce", []), RNG.uniform(size=(80, 4))),
    "tagging": lambda: (
        compiled(dense(5, "softmax"), "sparse_categorical_crossentropy", shape=STEPS),
        RNG.integers(0, 5, (80, 6)),
    ),
    "segmentation": lambda: (
        compiled(
            lambda: [layers.Conv2D(3, 1, activation="softmax")], "sparse_categorical_crossentropy", shape=(4, 4, 2)
        ),
        RNG.integers(0, 3, (80, 4, 4, 1)),
    ),
    "segmentation, void class": lambda: (
        compiled(
            lambda: [layers.Conv2D(3, 1), layers.Softmax()],
            losses.SparseCategoricalCrossentropy(ignore_class=255),
            shape=(4, 4, 2),
        ),
        np.where(RNG.uniform(size=(80, 4, 4)) < 0.1, 255, RNG.integers(0, 3, (80, 4, 4))),
    ),
    "counts": lambda: (compiled(dense(1, "exponential"), "poisson", []), RNG.poisson(3.0, 80)),
    "counts, softplus": lambda: (compiled(dense(1, "softplus"), losses.Poisson(), []), RNG.poisson(3.0, 80)),
    "hinge": lambda: (compiled(dense(1, "tanh"), "hinge", []), 2 * TWO - 1),
    "hinge, 0 and 1": lambda: (compiled(dense(1), "squared_hinge", []), TWO),
    "partial loss": lambda: (
        compiled(dense(1), functools.partial(losses.binary_crossentropy, from_logits=True)),
        TWO,
    ),
    "own loss": lambda: (compiled(dense(1), _own_loss, []), TWO),
    "own loss of a column": lambda: (compiled(dense(1), OwnSquare(), []), VALUES[:, None].astype("float32")),
    "own loss of rows": lambda: (compiled(dense(5), OwnSquare(), []), ONE_HOT),
    "own loss that wants rows": lambda: (compiled(dense(5), _SecondColumn(), []), ONE_HOT),
    # Over the places: which of the steps is it?
    "pointer": lambda: (compiled(lambda: [layers.Dense(1), layers.Softmax(axis=1)], "bce", [], STEPS), STEP_ROWS),
    "pointer, flattened": lambda: (
        compiled(
            lambda: [layers.Dense(1), layers.Softmax(axis=1), layers.Flatten()],
            "sparse_categorical_crossentropy",
            [],
            STEPS,
        ),
        STEP_ROWS.argmax(axis=1)[:, 0],
    ),
    "classes first, turned round": lambda: (
        compiled(
            lambda: [layers.Dense(5), layers.Permute((2, 1)), layers.Softmax(axis=1), layers.Permute((2, 1))],
            "sparse_categorical_crossentropy",
            [],
            STEPS,
        ),
        TAGS,
    ),
    "own softmax": lambda: (compiled(lambda: [layers.Dense(2), Softmax()], "sparse_categorical_crossentropy"), TWO),
    "own loss of class numbers": lambda: (compiled(dense(5, "softmax"), _Numbers(), []), FIVE[:, None]),
    "own noisy loss": lambda: (compiled(dense(1), _Noisy(), []), VALUES),
    "own ranking loss": lambda: (compiled(dense(1), _Ranking(), []), VALUES),
    "pointer, one score a step": lambda: (
        compiled(
            lambda: [layers.Dense(1), layers.Flatten(), layers.Softmax()], "sparse_categorical_crossentropy", [], STEPS
        ),
        STEP_ROWS.argmax(axis=1)[:, 0],
    ),
    "lambda": lambda: (
        compiled(dense(1, behind=[layers.Lambda(lambda v: keras.ops.sigmoid(v))]), "binary_crossentropy"),
        TWO,
    ),
    "keras.ops": lambda: _functional(
        lambda i: keras.ops.softmax(layers.Dense(5)(i)), "sparse_categorical_crossentropy", FIVE, ["accuracy"]
    ),
    "sum of two": lambda: _functional(
        lambda i: layers.Add()([layers.Dense(1)(i), layers.Dense(1)(i)]), "binary_crossentropy", TWO
    ),
    "last axis squeezed": lambda: _functional(
        lambda i: keras.ops.squeeze(layers.Dense(1, "sigmoid")(i), -1), "binary_crossentropy", TWO
    ),
    "recurrent": lambda: (
        compiled(lambda: [layers.LSTM(3), layers.Dense(1, "sigmoid")], "binary_crossentropy", shape=STEPS),
        TWO,
    ),
    "own activation": lambda: (compiled(lambda: [layers.Dense(1, lambda v: v * 0 + 0.5)], "binary_crossentropy"), TWO),
    "subclassed": lambda: (subclassed(), TWO),
    "embedding": lambda: (
        compiled(
            lambda: [layers.Embedding(9000, 3), layers.GlobalAveragePooling1D(), layers.Dense(1, "sigmoid")],
            "binary_crossentropy",
            shape=(6,),
        ),
        TWO,
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_model_raises_no_alarm(name):
    """Certificates and forecasts are for what is wrong; hints are allowed. A model that cannot be read is no error."""
    model, labels = HEALTHY[name]()
    shape = getattr(model, "input_shape", None) or (None, 4)
    x = RNG.integers(0, 9000, (80, 6)) if name == "embedding" else RNG.normal(size=(80, *shape[1:]))
    (head,) = read_heads(model)
    findings = check_head(head, labels) + check_inputs({"input 0": x}, labels)
    assert [finding.code for finding in findings if finding.confidence != "hint"] == []
