"""What the detector cannot do: said in the report, or refused in the constructor; never a crash in mid-training."""

import math

import keras
import numpy as np
import pytest
from stuck.builders import FAR, balanced_data, classifier, run, verdicts

from keras_clr._errors import StuckTrainingError
from keras_clr.stuck.detector import StuckDetector
from keras_clr.stuck.diagnosis import State

X, Y = balanced_data(96)
DOES_NOT_FIT = "StuckDetector, before training: `probe_data` does not fit the model"


def notes_of(model, detector, data=(X, Y), **fit_arguments):
    """The detector's notes after a fit that ended well and was not called frozen."""
    run(model, detector, data, epochs=2, **fit_arguments)
    assert detector.stuck_epoch_ is None
    return " ".join(detector.diagnosis_.cannot_know)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"on_stuck": "halt"}, ValueError, r"`on_stuck` must be one of 'warn', 'stop', 'raise'.*on_stuck='halt'"),
        ({"verbose": 2}, ValueError, "`verbose` must be one of 0, 1.*verbose=2"),
        ({"false_alarm": 0.0}, ValueError, "`false_alarm` must be in.*false_alarm=0.0"),
        ({"false_alarm": math.nan}, ValueError, "`false_alarm` must be in.*false_alarm=nan"),
        ({"false_alarm": "tiny"}, TypeError, "`false_alarm` must be a number.*'tiny'"),
        ({"margin": 0.6}, ValueError, "`margin` must be > 0 and below.*margin=0.6"),
        ({"margin": -0.1}, ValueError, "`margin` must be > 0.*margin=-0.1"),
        ({"probe_data": X}, TypeError, r"`probe_data` must be a tuple \(x, y\).*ndarray"),
        ({"probe_data": (X, Y, Y)}, TypeError, r"`probe_data` must be a tuple \(x, y\)"),
        (
            {"probe_data": (X[:5], Y)},
            ValueError,
            r"`probe_data` must have the same number.*\(5, 4\), y of shape \(96, 3\)",
        ),
        ({"probe_data": (np.float32(1), Y)}, ValueError, "`probe_data` must have the same number of samples.*x=1.0"),
        ({"probe_data": (None, None)}, ValueError, "`probe_data` must have the same number of samples.*x=None, y=None"),
        ({"probe_data": (X, ["red"] * 96)}, ValueError, "labels that are numbers.*dtype <U3"),
        ({"probe_data": (X, np.full(96, np.nan))}, ValueError, "labels that are numbers.*NaN"),
        ({"probe_data": (X, np.zeros(96))}, ValueError, "at least two classes.*96 labels, all of one class"),
        ({"on_stuck": "restart", "max_restarts": 0}, ValueError, "`max_restarts` must be an integer >= 1.*=0"),
        ({"on_stuck": "stop", "max_restarts": 2}, ValueError, "`max_restarts` is only used with on_stuck='restart'"),
    ],
)
def test_bad_arguments_are_refused_in_the_constructor(arguments, error, message):
    """Before any training: each argument that cannot be is named, with what was received."""
    with pytest.raises(error, match=f"(?s){message}"):
        StuckDetector(**arguments)


def test_without_probe_data_there_is_a_record_and_no_verdict():
    """No labels, no chance level: a saturated run is recorded, and the report says what is missing."""
    detector = StuckDetector()
    assert "No `probe_data`: the chance level of the labels cannot be known" in notes_of(classifier(), detector)
    assert detector.diagnosis_.state is State.TOO_EARLY
    assert detector.diagnosis_.chance is None
    assert detector.diagnosis_.evidence["training_accuracy"] == 0.5


def two_heads(biases, **compile_arguments):
    """A model with a saturated or a healthy head for each of two outputs."""
    inputs = keras.Input((4,))
    heads = [keras.layers.Dense(3, "softmax", name=name) for name in ("colour", "shape")]
    model = keras.Model(inputs, [keras.layers.Reshape((3,))(head(inputs)) for head in heads])
    for head, bias in zip(heads, biases, strict=True):
        head.bias.assign([bias, 0.0, 0.0])
    arguments = {"loss": ["categorical_crossentropy"] * 2, "metrics": [["accuracy"], ["accuracy"]]}
    model.compile(optimizer=keras.optimizers.SGD(0.5), **(arguments | compile_arguments))
    return model


def test_several_outputs_each_have_their_own_chance():
    """Two heads, the second of which is saturated: its state is "at chance so far", and the run stands there."""
    detector = StuckDetector((X, [Y, Y]), false_alarm=0.05)
    run(two_heads((0.0, FAR)), detector, (X, [Y, Y]), epochs=12)
    outputs = detector.diagnosis_.evidence["outputs"]
    assert [output["state"] for output in outputs] == ["learning", "at chance so far"]
    assert [output["chance_accuracy"] for output in outputs] == [0.5, 0.5]
    assert detector.diagnosis_.state is State.AT_CHANCE
    assert "output 1            at chance so far, training accuracy 0.5000" in detector.diagnosis_.text()


def test_several_outputs_freeze_together():
    """Only when no head has a gradient left is the run frozen."""
    detector = StuckDetector((X, [Y, Y]))
    with verdicts() as messages:
        run(two_heads((FAR, FAR)), detector, (X, [Y, Y]))
    assert len(messages) == 1
    # What says why comes first.
    assert [finding.code for finding in detector.diagnosis_.findings] == ["constant-output", "zero-gradient"]
    assert detector.diagnosis_.state is State.FROZEN


def test_labels_of_one_output_only():
    """Two outputs and the labels of one: no verdict, and the report says why."""
    detector = StuckDetector((X, Y))
    with verdicts() as messages:
        notes = notes_of(two_heads((FAR, FAR)), detector, (X, [Y, Y]))
    assert "labels for 1 outputs, the model has 2" in notes
    assert [message.split(".")[0] for message in messages] == [DOES_NOT_FIT]


def test_without_an_accuracy_the_loss_says_what_is_at_chance():
    """No metric counts right answers: no statistics, said so; but a gradient of 0 at a loss above chance is found."""
    detector = StuckDetector((X, Y))
    with verdicts() as messages:
        run(classifier(metrics=None), detector, (X, Y))
    assert len(messages) == 1
    assert "wald_statistic" not in detector.diagnosis_.evidence
    assert "No training accuracy" in detector.diagnosis_.cannot_know[-1]


def test_without_an_accuracy_a_run_that_has_learned_everything_is_not_frozen():
    """The twin of the above: right and saturated, its loss is far below chance, so its gradient is not asked for."""
    model = classifier(metrics=None, bias=(0.0, 0.0, -FAR))
    model.get_layer("head").kernel.assign([[-FAR, FAR, 0.0], *[[0.0] * 3] * 3])
    x = np.where(Y[:, 1:2] == 1, 2.0, -2.0) * np.eye(1, 4)
    detector = StuckDetector((x, Y))
    notes_of(model, detector, (x, Y))
    assert detector.stuck_epoch_ is None


@pytest.mark.parametrize(
    ("metrics", "note"),
    [
        ({"metrics": ["binary_accuracy"]}, "`binary_accuracy` does not count samples with one-hot labels"),
        ({"weighted_metrics": ["accuracy"], "metrics": None}, "`accuracy` is weighted"),
    ],
    ids=["entries", "weighted"],
)
def test_accuracies_of_another_kind_are_not_taken_for_right_answers(metrics, note):
    """A metric that counts entries, or weights, has another chance level: it is named and not used."""
    detector = StuckDetector((X, Y))
    model = classifier(bias=(0.0, 0.0, 0.0), loss="mse", **metrics)
    assert note in notes_of(model, detector, class_weight={0: 1.0, 1: 3.0})
    assert "training_accuracy" not in detector.diagnosis_.evidence


def test_class_weights_do_not_touch_the_count():
    """Weights change the loss, and with it the signature, but neither the right answers nor the certificate."""
    detector = StuckDetector((X, Y))
    with verdicts() as messages:
        run(classifier(), detector, (X, Y), class_weight={0: 1.0, 1: 3.0, 2: 1.0})
    assert len(messages) == 1
    assert detector.diagnosis_.evidence["training_accuracy"] == 0.5
    assert "The training loss says the same" not in detector.diagnosis_.findings[0].sentence


def test_a_training_step_of_ones_own_is_named():
    """A subclass with its own `train_step` trains as before; the report says that its gradient is not known."""

    class Own(keras.Sequential):
        def train_step(self, *args, **kwargs):
            return super().train_step(*args, **kwargs)

    head = keras.layers.Dense(3, "softmax")
    model = Own([keras.Input((4,)), head, keras.layers.Reshape((3,))])
    head.bias.assign([FAR, 0.0, 0.0])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    assert "`train_step` of its own" in notes_of(model, StuckDetector((X, Y)))


NARROW = X[:, :3], Y


@pytest.mark.parametrize(
    ("probe_data", "words"),
    [
        (
            NARROW,
            "inputs of shape (None, 3) and labels of shape (None, 3); the model takes (None, 4) and gives (None, 3)",
        ),
        ((X, Y[:, :2]), "labels of shape (None, 2); the model takes (None, 4) and gives (None, 3)"),
        ((X, [Y, Y]), "labels of shape (None, 3), (None, 3); the model takes (None, 4) and gives (None, 3)"),
        (({"a": X, "b": X}, Y), "inputs of shape (None, 4), (None, 4) and labels"),
    ],
    ids=["inputs", "columns", "outputs", "several inputs"],
)
@pytest.mark.parametrize("on_stuck", ["warn", "raise"])
def test_probe_data_that_the_model_cannot_take(probe_data, words, on_stuck):
    """Said once, before training, with the shapes of both; the fit goes on, and it stays in the report."""
    model = classifier(bias=(1.0, 0.0, 0.0), rate=0.0)
    model.get_layer("head").kernel.assign(np.zeros((4, 3)))
    with verdicts() as messages:
        notes = notes_of(model, StuckDetector(probe_data, on_stuck=on_stuck))
    assert len(messages) == 1
    assert messages[0].startswith(DOES_NOT_FIT)
    assert words in messages[0]
    assert words in notes


def test_probe_data_are_compared_with_a_model_that_is_not_built_once_it_is(backend):
    """TensorFlow builds it in the first step, the others before training begins."""
    model = keras.Sequential([keras.layers.Dense(3, activation="softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    with verdicts() as messages:
        notes_of(model, StuckDetector(NARROW))
    (message,) = messages
    assert "`probe_data` does not fit the model. It has inputs of shape (None, 3)" in message
    assert ("after the first epoch" in message) == (backend == "tensorflow")


def test_a_loss_of_ones_own_may_take_other_labels():
    """Of a model that computes its own loss, and of one that is not compiled, the labels are not judged."""

    class Own(keras.Sequential):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return keras.ops.mean(keras.ops.square(y - keras.ops.mean(y_pred, axis=-1)))

    model = Own([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile("sgd")
    labels = Y[:, 0]
    run(model, StuckDetector((X, np.stack([labels, 1 - labels, labels], axis=1)), on_stuck="raise"), (X, labels))
    detector = StuckDetector((X, labels), on_stuck="raise")
    detector.set_model(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]))
    detector.on_train_begin()
    assert detector.diagnosis_ is None


def test_a_model_with_a_fixed_batch_size():
    """A model that takes batches of 12 only gets batches of 12, the last one filled up."""
    inputs = keras.Input(batch_shape=(12, 4))
    head = keras.layers.Dense(3, "softmax", name="head")
    model = keras.Model(inputs, keras.layers.Reshape((3,))(head(inputs)))
    head.bias.assign([FAR, 0.0, 0.0])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    detector = StuckDetector((X[:90], Y[:90]))
    with verdicts() as messages:
        run(model, detector, (X, Y), batch_size=12)
    assert len(messages) == 1
    assert detector.diagnosis_.findings[0].numbers["num_samples"] == 90


def test_top_k_has_a_chance_of_its_own():
    """Of three units on two classes, the right one is always among the best two: chance is 1, so nothing to test."""
    model = classifier(bias=(0.0, 0.0, 0.0), metrics=[keras.metrics.TopKCategoricalAccuracy(1)], loss="mse")
    detector = StuckDetector((X, Y))
    notes_of(model, detector)
    assert detector.diagnosis_.evidence["chance_accuracy"] == 0.5
    model = classifier(bias=(0.0, 0.0, 0.0), metrics=[keras.metrics.TopKCategoricalAccuracy(2)], loss="mse")
    detector = StuckDetector((X, Y))
    assert "No training accuracy" in notes_of(model, detector)


def test_a_loss_that_is_not_a_number_is_lost():
    """NaN from the first batch: diverged, once said; the report has the loss as it is, also as JSON."""
    detector = StuckDetector((X, Y))
    with verdicts() as messages:
        run(classifier(bias=(math.nan, 0.0, 0.0)), detector, (X, Y))
    assert len(messages) == 1
    assert "diverged" in messages[0]
    assert detector.diagnosis_.state is State.DIVERGED
    assert detector.diagnosis_.evidence["training_loss"] == "nan"
    assert '"training_loss": "nan"' in detector.diagnosis_.to_json()
    assert "training loss       nan" in detector.diagnosis_.text()


def test_divergence_is_seen_without_probe_data():
    """That a loss is not a number needs no labels."""
    detector = StuckDetector(on_stuck="raise")
    with pytest.raises(StuckTrainingError, match="diverged"):
        run(classifier(bias=(math.nan, 0.0, 0.0)), detector, (X, Y))


def test_a_collapse_after_progress_is_called_so():
    """Above chance first, at chance later: collapsed, with the likeliest cause; a new rise is learning again."""
    detector = StuckDetector((X, Y), margin=0.3)
    model = classifier(bias=(0.0, 0.0, 0.0), rate=0.0)
    good = [[-1.0, 1.0, 0.0], *[[0.0] * 3] * 3]
    model.get_layer("head").kernel.assign(good)
    states = []

    def spoil(epoch, logs):
        states.append(detector.diagnosis_.state)
        model.get_layer("head").kernel.assign(np.zeros((4, 3)) if epoch == 0 else good)

    spoiling = keras.callbacks.LambdaCallback(on_epoch_end=spoil)
    with verdicts() as messages:
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[detector, spoiling])
    assert states == [State.LEARNING, State.COLLAPSED, State.LEARNING]
    assert len(messages) == 1
    assert "collapsed after progress (rate-too-high)" in messages[0]
    assert detector.stuck_epoch_ is None
