"""Programs in which the data teach nothing: each is named, and its healthy twin is not."""

import re
import warnings

import keras
import numpy as np
import pytest
from stuck.builders import verdicts

from keras_clr import StuckDetector, diagnose
from keras_clr._keras.tensors import to_numpy
from keras_clr.stuck.diagnosis import State

L, ops = keras.layers, keras.ops
RNG = np.random.default_rng(0)
Y = RNG.permutation(np.arange(96) % 2)
X = RNG.normal(size=(96, 4)).astype("float32")
X[:, 0] += 4.0 * Y - 2.0
ONE_HOT = np.eye(2, dtype="float32")[Y]


@pytest.fixture(autouse=True)
def _seed():
    """The same initial weights in every run of a test."""
    keras.utils.set_random_seed(1)


def classifier(*layers, loss="binary_crossentropy", shape=(4,), **arguments):
    """A compiled model; one hidden layer and a sigmoid unit if no layers are given."""
    layers = layers or (L.Dense(8, "relu"), L.Dense(1, "sigmoid"))
    model = keras.Sequential([*([] if shape is None else [keras.Input(shape)]), *layers])
    model.compile(**({"optimizer": keras.optimizers.Adam(0.01), "loss": loss, "metrics": ["accuracy"]} | arguments))
    return model


def first(model, x=X, y=Y):
    """Code and confidence of what is found first before training; None for nothing above a hint."""
    findings = [f for f in diagnose(model, x, y).findings if f.confidence != "hint"]
    return (findings[0].code, findings[0].confidence) if findings else None


def watched(model, x=X, y=Y, probe_data=None, epochs=3, **fit_arguments):
    """The diagnosis after a fit; its warnings are not looked at."""
    detector = StuckDetector(probe_data or (x, y))
    with verdicts():
        model.fit(x, y, epochs=epochs, verbose=0, batch_size=32, callbacks=[detector], **fit_arguments)
    return detector.diagnosis_


def causes(diagnosis):
    """Codes above a hint, the first one first."""
    return [f.code for f in diagnosis.findings if f.confidence != "hint"]


def undecided(**arguments):
    """Answers 0.5 to every sample until it has learned something, whatever the initial weights."""
    return classifier(L.Dense(8, "relu"), L.Dense(1, "sigmoid", kernel_initializer="zeros"), **arguments)


class Net(keras.Model):
    """A subclassed model whose output has one unit."""

    def __init__(self, activation):
        super().__init__()
        self.hidden, self.head = L.Dense(8, "relu"), L.Dense(1, activation)

    def call(self, x):
        return self.head(self.hidden(x))


def unbuilt(kind, activation):
    if kind == "sequential":
        return classifier(L.Dense(8, "relu"), L.Dense(1, activation), shape=None)
    model = Net(activation)
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("kind", ["sequential", "subclassed"])
def test_the_head_of_a_model_without_weights_is_examined_in_training(kind):
    """A softmax over one unit is named and warned about once, on TensorFlow after the first epoch; a sigmoid is not."""
    detector = StuckDetector((X, Y))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        unbuilt(kind, "softmax").fit(X, Y, epochs=3, verbose=0, callbacks=[detector])
    told = [w for w in caught if "not trained yet (softmax-over-one-unit)" in str(w.message)]
    assert len(told) == 1
    assert causes(detector.diagnosis_) == ["softmax-over-one-unit"]
    assert causes(watched(unbuilt(kind, "sigmoid"))) == []


def test_a_restart_needs_weights_when_fit_begins(backend):
    """Refused before the first epoch with what to do, where the first step would build the model."""
    if backend != "tensorflow":
        # JAX and torch build a model before any callback runs: nothing to refuse.
        model = unbuilt("sequential", "sigmoid")
        model.fit(X, Y, verbose=0, callbacks=[StuckDetector((X, Y), on_stuck="restart")])
        return
    with pytest.raises(ValueError, match=r"weights exist when `fit` begins.*keras\.Input"):
        unbuilt("sequential", "sigmoid").fit(X, Y, verbose=0, callbacks=[StuckDetector((X, Y), on_stuck="restart")])


@pytest.mark.parametrize("how", ["sample_weight", "class_weight", "dataset"])
def test_weights_of_zero_are_no_low_rate(how):
    """Samples that weigh nothing teach nothing, wherever the zeros are; weights of 1 are not named."""

    def fitted(weight):
        if how == "sample_weight":
            return watched(undecided(), sample_weight=np.full(96, weight, "float32"), epochs=8)
        if how == "class_weight":
            return watched(undecided(), class_weight={0: weight, 1: weight}, epochs=8)
        batches = [(X[i : i + 32], Y[i : i + 32], np.full(32, weight, "float32")) for i in (0, 32, 64)]
        return watched(undecided(), Batches(batches), None, probe_data=(X, Y), epochs=8)

    assert causes(fitted(0.0)) == ["zero-sample-weights"]
    assert causes(fitted(1.0)) == []


class Batches(keras.utils.PyDataset):
    """Batches that are there already."""

    def __init__(self, batches):
        super().__init__()
        self._batches = batches

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        return self._batches[index]


def test_weights_of_zero_for_all_classes_but_one():
    """The loss falls to 0 while half of the training answers are wrong: no collapse, no high rate."""
    few = {"epochs": 40, "batch_size": 8}
    model = classifier(optimizer=keras.optimizers.Adam(0.05))
    detector = StuckDetector((X, Y), false_alarm=0.05)
    with verdicts():
        model.fit(X, Y, verbose=0, callbacks=[detector], class_weight={0: 1.0, 1: 0.0}, **few)
    (finding,) = [f for f in detector.diagnosis_.findings if f.confidence != "hint"]
    assert (finding.code, detector.diagnosis_.state.value) == ("zero-sample-weights", "at chance so far")
    assert finding.numbers["least"] == pytest.approx(0.5 * np.log(2.0))
    model = classifier(optimizer=keras.optimizers.Adam(0.05))
    names = {"model": model, "x": X, "y": Y}
    exec(finding.fix, names)
    assert causes(watched(model)) == []


def test_a_metric_that_misleads_decides_over_no_state():
    """With a threshold of 50 every answer counts as a no. Judged by the loss, the model learns, and no rate is low."""
    measures = [keras.metrics.BinaryAccuracy(threshold=50.0)]
    diagnosis = watched(classifier(metrics=measures), epochs=30)
    assert causes(diagnosis) == ["metric-misreads-output"]
    assert diagnosis.state is State.LEARNING
    assert "`binary_accuracy` does not mean what it says" in " ".join(diagnosis.cannot_know)
    # A second one that can be trusted is used.
    for others in (["accuracy"], [keras.metrics.BinaryAccuracy(threshold=0.5)]):
        both = watched(classifier(metrics=[*measures, *others]), epochs=30)
        assert both.evidence["training_accuracy"] > 0.8


def test_a_sum_over_the_batch_is_named_where_it_does_harm():
    """SGD takes steps that are 32 times too long; Adam does not care. The fix averages."""
    targets = (X @ [1.0, 1.0, 2.0, 0.5]).astype("float32")

    def summed(optimizer):
        loss = keras.losses.MeanSquaredError(reduction="sum")
        return classifier(L.Dense(32, "relu"), L.Dense(1), loss=loss, metrics=["mae"], optimizer=optimizer)

    sick = summed(keras.optimizers.SGD(0.05))
    before = diagnose(sick, X, targets)
    after = watched(sick, X, targets, epochs=12)
    assert after.state is State.DIVERGED
    assert causes(after) == ["loss-summed"]
    hint = [f for f in before.findings if f.code == "loss-summed"]
    assert len(hint) == 1
    names = {"model": summed(keras.optimizers.SGD(0.05))}
    exec(after.findings[0].fix, names)
    assert causes(watched(names["model"], X, targets, epochs=12)) == []
    assert names["model"].evaluate(X, targets, verbose=0)[0] < 0.1 * targets.var()
    assert causes(watched(summed(keras.optimizers.Adam(0.01)), X, targets, epochs=12)) == []


@pytest.mark.parametrize("kind", ["rare", "focal"])
def test_small_weights_that_are_meant_are_left_alone(kind):
    """A rare class weighed up, so that the accuracy is below chance; a loss of which most answers cost nothing."""
    rng = np.random.default_rng(3)
    rare = np.arange(2000) % 50 == 0
    x = (rng.normal(size=(2000, 4)) + 1.5 * rare[:, None]).astype("float32")
    loss = "binary_crossentropy" if kind == "rare" else keras.losses.BinaryFocalCrossentropy(gamma=5.0)
    weights = {0: 0.01, 1: 0.5} if kind == "rare" else None
    diagnosis = watched(classifier(loss=loss), x, rare.astype(int), epochs=12, class_weight=weights)
    assert "zero-sample-weights" not in [f.code for f in diagnosis.findings]


def test_the_first_loss_of_a_sum_is_no_sign_of_wrong_answers():
    """32 samples of 0.7 each are not far above 0.7."""
    model = classifier(loss=keras.losses.BinaryCrossentropy(reduction="sum"))
    assert [(f.code, f.confidence) for f in diagnose(model, X, Y).findings] == [("loss-summed", "hint")]


def test_labels_of_an_own_loss_are_compared_with_their_own_outputs():
    """(n,) against (n, 1): by the labels' shape the sick run learns nothing, and reshaped it does."""

    class Square(keras.losses.Loss):
        def call(self, y_true, y_pred):
            return ops.mean(ops.square(y_pred - ops.cast(y_true, y_pred.dtype)), axis=-1)

    targets = X[:, 0] / 2.0

    def learned(y):
        model = classifier(L.Dense(8, "relu"), L.Dense(1), loss=Square(), metrics=None)
        found = causes(watched(model, X, y, epochs=40))
        return found, np.square(model.predict(X, verbose=0)[:, 0] - targets).mean() < 0.5 * targets.var()

    assert learned(targets) == (["shapes-stretched"], False)
    assert learned(targets[:, None]) == ([], True)


def test_a_penalty_that_kills_the_model_is_no_high_rate():
    """L2(10) pulls all weights to 0; L2(0.001) lets the model learn, and the first loss is no sign of wrong answers."""

    def model(strength):
        layers = [L.Dense(n, a, kernel_regularizer=keras.regularizers.L2(strength)) for n, a in HIDDEN]
        return classifier(*layers, optimizer=keras.optimizers.Adam(0.03))

    codes = [f.code for f in diagnose(model(10.0), X, Y).findings]
    assert codes == ["penalty-dominates-loss"]
    dead = watched(model(10.0), epochs=40)
    assert causes(dead)[0] == "penalty-dominates-loss"
    assert "rate-too-high" not in [f.code for f in dead.findings]
    assert causes(watched(model(1e-3), epochs=10)) == []
    names = {"model": model(10.0)}
    exec(dead.findings[0].fix, names)
    names["model"].fit(X, Y, epochs=40, verbose=0)
    assert np.mean((names["model"].predict(X, verbose=0)[:, 0] > 0.5) == Y) > 0.85


HIDDEN = ((16, "relu"), (16, "relu"), (1, "sigmoid"))


def squared(change):
    """A loss of one's own: the squared error of changed outputs."""
    return lambda y, p: ops.mean(ops.square(ops.cast(y, p.dtype) - ops.reshape(change(p), ops.shape(y))))


@pytest.mark.parametrize(
    "change",
    [ops.round, ops.sign, ops.stop_gradient, lambda p: ops.cast(ops.argmax(p, axis=-1), "float32")],
    ids=["round", "sign", "stop_gradient", "argmax"],
)
def test_a_loss_without_slope_is_a_certificate(change):
    """Whatever in the loss has no slope, all backends say the same; the same loss of the outputs themselves is well."""
    assert first(classifier(loss=squared(change))) == ("loss-without-slope", "certificate")
    assert first(classifier(loss=squared(lambda p: p))) is None


def test_a_frozen_run_without_slope_says_why():
    """`sign` lets every backend train on: frozen, and the loss is the reason, not "zero-gradient"."""
    diagnosis = watched(undecided(loss=squared(ops.sign)), epochs=4)
    assert diagnosis.state is State.FROZEN
    assert diagnosis.findings[0].code == "loss-without-slope"


def sequence():
    """A network that answers at every step."""
    return classifier(L.SimpleRNN(3, return_sequences=True), L.Dense(1, "sigmoid"), shape=(4, 1))


def three_units():
    return classifier(L.Dense(3, "sigmoid"))


def without_loss():
    model = keras.Sequential([keras.Input((4,)), L.Dense(1)])
    model.compile("adam")
    return model


@pytest.mark.parametrize(
    ("make", "x", "y", "reason"),
    [
        (three_units, X, RNG.integers(0, 2, (96, 2)), "same shape"),
        (sequence, X[..., None], Y, "rank|shape"),
        (classifier, X, np.array(["no", "yes"])[Y], "(?i)str|<U3|type"),
        (classifier, X[:0], Y[:0], "no samples"),
        (classifier, X[:, :3], Y, "incompatible"),
    ],
    ids=["shapes", "sequence", "strings", "empty", "features"],
)
def test_what_fit_refuses_is_the_headline(make, x, y, reason):
    """The error with which `fit` stops is a finding, in one plain line without colours."""
    diagnosis = diagnose(make(), x, y)
    (finding,) = diagnosis.findings
    assert (finding.code, finding.confidence) == ("fit-fails", "certificate")
    assert re.search(reason, finding.sentence)
    assert "\x1b" not in diagnosis.text()
    assert "\n" not in finding.sentence
    assert "Nothing was found" not in diagnosis.text()
    with pytest.raises(Exception):  # noqa: B017, PT011 -- each backend has its own
        make().fit(x, y, verbose=0)


def test_what_is_not_a_number_comes_before_a_loss_that_refuses_it():
    """The cross-entropy of torch stops on a NaN: the layer that makes it is the headline, on every backend."""

    @keras.saving.register_keras_serializable("test_teaching")
    class Log(L.Layer):
        def call(self, x):
            return ops.log(x)

    finding, *others = diagnose(classifier(L.Dense(8), Log(name="log"), L.Dense(1, "sigmoid")), X, Y).findings
    assert (finding.code, finding.confidence) == ("non-finite-first-pass", "certificate")
    assert "`log`" in finding.sentence
    assert "fit-fails" not in [other.code for other in others]


def test_no_loss_is_the_headline(backend):
    """TensorFlow and torch stop; JAX trains on, and nothing that it trains has a connection to a loss."""
    (finding,) = diagnose(without_loss(), X, Y).findings
    assert finding.code == ("unconnected-weights" if backend == "jax" else "fit-fails")
    assert finding.confidence == "certificate"


def test_a_loss_that_rewards_wrong_answers_is_worse_than_chance():
    """A cross-entropy with its sign turned round: named before training; in training the state says so, too."""

    def turned(y, p):
        return -keras.losses.binary_crossentropy(y, p)

    assert first(classifier(loss=turned)) == ("loss-rewards-wrong-answers", "forecast")
    assert first(classifier(loss=lambda y, p: keras.losses.binary_crossentropy(y, p))) is None
    diagnosis = watched(classifier(loss=turned), epochs=15)
    assert diagnosis.state is State.BELOW_CHANCE
    assert causes(diagnosis)[0] == "loss-rewards-wrong-answers"
    assert "below that of any one answer" in diagnosis.text()


def masked_model():
    layers = (L.Embedding(20, 4, mask_zero=True), L.GlobalAveragePooling1D(), L.Dense(1, "sigmoid"))
    # A squared error: torch refuses the cross-entropy of a NaN, so that `fit` would stop.
    return classifier(*layers, shape=(5,), loss="mse")


def test_samples_of_padding_come_before_divergence():
    """A tenth of the samples is padding only: named before training and after it; with one word each, nothing is."""
    words = RNG.integers(1, 20, size=(96, 5))
    padded = words.copy()
    padded[::10] = 0
    labels = (words[:, 0] > 10).astype(int)
    assert first(masked_model(), padded, labels) == ("all-steps-masked", "certificate")
    diagnosis = watched(masked_model(), padded, labels)
    assert diagnosis.state is State.DIVERGED
    assert causes(diagnosis) == ["all-steps-masked"]
    assert diagnosis.findings[0].numbers["num_masked"] == 10
    names = {"model": masked_model(), "x": padded, "y": labels}
    exec(diagnosis.findings[0].fix, names)
    assert len(names["x"]) == len(names["y"]) == 86
    assert causes(watched(masked_model(), names["x"], names["y"])) == []


def test_divergence_by_the_rate_is_not_blamed_on_samples():
    """A rate of 1e30: no sample gives NaN with other weights, so "diverged" comes first."""
    layers = L.Dense(8, "relu"), L.Dense(1)
    model = classifier(*layers, loss="mse", metrics=None, optimizer=keras.optimizers.SGD(1e30))
    diagnosis = watched(model, X, 5.0 * X[:, 0])
    assert diagnosis.state is State.DIVERGED
    assert causes(diagnosis)[0] == "diverged"


@pytest.mark.parametrize(("bias", "codes"), [(0.0, ["target-scale"]), (5000.0, [])])
def test_a_bias_near_the_targets_is_no_target_scale(bias, codes):
    """Targets around 5000: an output that starts there has no way to go."""
    model = classifier(L.Dense(1, bias_initializer=keras.initializers.Constant(bias)), loss="mse", metrics=None)
    assert [f.code for f in diagnose(model, X, 5000.0 + 3.0 * X[:, 0]).findings if f.code == "target-scale"] == codes


def over_batch(x):
    return ops.softmax(x, axis=0)


@pytest.mark.parametrize(
    ("layers", "loss", "healthy_layers", "healthy_loss"),
    [
        (
            lambda: [L.Dense(2), L.Softmax(axis=0)],
            "categorical_crossentropy",
            lambda: [L.Dense(2), L.Softmax(axis=-1)],
            "categorical_crossentropy",
        ),
        (
            lambda: [L.Dense(2, over_batch)],
            "categorical_crossentropy",
            lambda: [L.Dense(2, "softmax")],
            "categorical_crossentropy",
        ),
        (
            lambda: [L.Dense(2, "softmax")],
            keras.losses.CategoricalCrossentropy(axis=0),
            lambda: [L.Dense(2, "softmax")],
            keras.losses.CategoricalCrossentropy(axis=1),
        ),
    ],
    ids=["layer", "function", "loss"],
)
def test_samples_that_are_mixed_are_found(layers, loss, healthy_layers, healthy_loss):
    """A softmax over the samples of a batch, wherever it is; the twin's is over the classes."""
    assert first(classifier(*layers(), loss=loss), X, ONE_HOT)[0] == "samples-mixed"
    assert first(classifier(*healthy_layers(), loss=healthy_loss), X, ONE_HOT) is None


def test_dropout_in_inference_mode_is_no_mixing():
    """Layers that draw anew in each call draw the same for the same batch."""

    class Always(L.Dropout):
        def call(self, x, training=None):
            del training
            return super().call(x, training=True)

    assert first(classifier(L.Dense(8, "relu"), Always(0.5), L.Dense(1, "sigmoid"))) is None


def test_dropout_that_leaves_nothing_is_found_and_its_fix_learns():
    """0.999 of 64 values: all are gone for most samples; 0.3 is not named."""

    def model(rate):
        return classifier(L.Dense(64, "relu"), L.Dropout(rate), L.Dense(1, "sigmoid"))

    assert first(model(0.3)) is None
    names = {"model": model(0.999)}
    finding = diagnose(names["model"], X, Y).findings[0]
    assert (finding.code, finding.confidence) == ("dropout-leaves-nothing", "forecast")
    exec(finding.fix, names)
    names["model"].fit(X, Y, epochs=30, verbose=0)
    assert np.mean((names["model"].predict(X, verbose=0)[:, 0] > 0.5) == Y) > 0.85


@pytest.mark.parametrize("activation", [None, "relu", "sigmoid"])
def test_a_divergence_wants_a_softmax(activation):
    """Kullback-Leibler's clips as cross-entropies do, and does not see whether a row sums to 1."""
    model = classifier(L.Dense(8, "relu"), L.Dense(2, activation), loss="kl_divergence")
    assert first(model, X, ONE_HOT) == ("cross-entropy-without-activation", "forecast")
    healthy = classifier(L.Dense(8, "relu"), L.Dense(2, "softmax"), loss="kl_divergence")
    assert first(healthy, X, ONE_HOT) is None


@pytest.mark.parametrize(
    ("units", "labels", "stretched"),
    [
        (1, (96, 1, 1), True),
        (1, (96, 10, 1), False),
        (1, (96, 10), False),
        (1, (96,), True),
        (3, (96, 1, 3), True),
        (3, (96, 10, 3), False),
    ],
)
def test_labels_that_are_stretched_are_found(units, labels, stretched):
    """Ten steps against labels for one; what Keras squeezes or expands is no stretching."""
    model = classifier(L.Dense(units), shape=(10, 1), loss="mse", metrics=None)
    x, y = RNG.normal(size=(96, 10, 1)).astype("float32"), RNG.normal(size=labels).astype("float32")
    codes = [f.code for f in diagnose(model, x, y).findings if f.confidence != "hint"]
    assert ("shapes-stretched" in codes) is stretched
    if stretched and labels != (96,):
        # Nobody says a word.
        model.train_on_batch(x[:32], y[:32])


def regression(loss):
    keras.utils.set_random_seed(1)
    return classifier(L.Dense(8, "relu"), L.Dense(1), loss=loss, metrics=None, optimizer=keras.optimizers.Adam(0.03))


def test_a_loss_that_is_one_number_is_no_reason_for_silence():
    """A mean over the batch is the mean over its samples; where it is not, the report says what cannot be known."""
    targets = 2.0 * X[:, :1]
    own = watched(regression(lambda y, p: ops.mean(ops.square(y - p))), X, targets, epochs=10)
    known = watched(regression("mse"), X, targets, epochs=10)
    assert own.state is known.state is State.LEARNING
    assert own.evidence["skill"] == pytest.approx(known.evidence["skill"], rel=1e-3)
    other = watched(regression(lambda y, p: ops.sqrt(ops.mean(ops.square(y - p)))), X, targets)
    assert other.state is State.TOO_EARLY
    assert "no loss of single samples" in " ".join(other.cannot_know)


@pytest.mark.parametrize("nested", ["with input", "without input"])
@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
def test_the_fix_frees_a_frozen_model_inside_of_another(nested):
    """The base inside a Sequential is what is frozen: after the fix its weights are trained, and change."""
    base = keras.Sequential([keras.Input((4,)), L.Dense(8, "relu"), L.Dense(1, "sigmoid")])
    base.trainable = False
    model = classifier(base, shape=(4,) if nested == "with input" else None)
    finding = diagnose(model, X, Y).findings[0]
    assert finding.code == "no-trainable-weights"
    names = {"model": model}
    exec(finding.fix, names)
    before = to_numpy(base.layers[0].kernel).copy()
    names["model"].fit(X, Y, verbose=0)
    assert (before != to_numpy(base.layers[0].kernel)).any()
    assert first(names["model"]) is None


STEP = ("run_eagerly", "jit_compile", "steps_per_execution")


@pytest.mark.parametrize("what", ["head", "metric"])
def test_a_fix_keeps_what_was_compiled(what, backend):
    """Loss weights, weighted metrics and how the step runs are the same after the code of the report."""
    activation = "softmax" if what == "head" else None
    loss = "binary_crossentropy" if what == "head" else keras.losses.BinaryCrossentropy(from_logits=True)
    arguments = {
        "loss_weights": [0.5],
        "weighted_metrics": [keras.metrics.MeanSquaredError(name="weighted")],
        "run_eagerly": False,
        "jit_compile": False,
        # torch takes no other.
        "steps_per_execution": 1 if backend == "torch" else 2,
        "optimizer": keras.optimizers.SGD(0.125, momentum=0.5),
    }
    model = classifier(L.Dense(1, activation), loss=loss, **arguments)
    codes = {"head": "softmax-over-one-unit", "metric": "metric-misreads-output"}
    finding = next(f for f in diagnose(model, X, Y).findings if f.code == codes[what])
    names = {"model": model, "x": X, "y": Y}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Keras' own, on variables with NumPy 2.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        exec(finding.fix, names)
    fixed = names["model"].get_compile_config()
    assert fixed["loss_weights"] == [0.5]
    assert fixed["weighted_metrics"][0]["config"]["name"] == "weighted"
    assert [fixed[key] for key in STEP] == [arguments[key] for key in STEP]
    assert (fixed["optimizer"]["config"]["learning_rate"], fixed["optimizer"]["config"]["momentum"]) == (0.125, 0.5)
    assert fixed["optimizer"] == model.get_compile_config()["optimizer"]
    names["model"].fit(X, Y, epochs=2, verbose=0)


def test_regularized_models_and_sequences_can_be_looked_into():
    """Losses of (n, steps), with a penalty on the weights: the layers are seen, and a run is judged by its accuracy."""
    layers = [L.Dense(8, "relu", kernel_regularizer="l2"), L.Dense(2, "softmax")]
    model = classifier(*layers, loss="sparse_categorical_crossentropy", shape=(3, 4))
    x, y = np.repeat(X[:, None], 3, axis=1), np.repeat(Y[:, None], 3, axis=1)
    diagnosis = diagnose(model, x, y)
    assert (diagnosis.findings, diagnosis.cannot_know) == ((), ())
    assert watched(model, x, y, epochs=15).state is State.LEARNING


def test_many_fits_print_nothing(capfd, caplog):
    """Ten models in a row, each with gradients looked at: no word of retracing on any channel."""
    for _ in range(10):
        diagnosis = watched(classifier(optimizer=keras.optimizers.SGD(1e-6)), epochs=2)
        assert diagnosis is not None
    out, err = capfd.readouterr()
    assert (out, err, caplog.records) == ("", "", [])
