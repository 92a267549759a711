"""What the detector cannot do: said in the report, or refused in the constructor; never a crash in mid-training."""

import math

import keras
import numpy as np
import pytest
from stuck.builders import FAR, balanced_data, classifier, run, verdicts

from keras_clr.stuck.detector import StuckDetector
from keras_clr.stuck.diagnosis import State

X, Y = balanced_data(96)


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
        ({"probe_data": (X[:5], Y)}, ValueError, r"as many inputs as labels.*\(5, 4\), 96 labels"),
        ({"probe_data": (np.float32(1), Y)}, ValueError, "as many inputs as labels"),
        ({"probe_data": (X, X[:, 0])}, ValueError, "`probe_data` has labels that cannot be used.*negative"),
        ({"probe_data": (X, np.abs(X[:, 0]))}, ValueError, "`probe_data` has labels.*regression"),
        ({"probe_data": (X, ["red"] * 96)}, ValueError, "`probe_data` has labels.*numbers or booleans"),
        ({"probe_data": (X, np.zeros(96))}, ValueError, "at least two classes.*96 labels, all of one class"),
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


def test_several_outputs_are_named():
    """A model with two heads trains as before; the report says that it is not supported, and gives no numbers."""
    inputs = keras.Input((4,))
    outputs = [keras.layers.Dense(3, "softmax", name=name)(inputs) for name in ("colour", "shape")]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", ["categorical_crossentropy"] * 2, metrics=[["accuracy"], ["accuracy"]])
    notes = notes_of(model, StuckDetector((X, [Y, Y])), (X, [Y, Y]))
    assert "labels for 2 outputs" in notes
    assert "`accuracy` is weighted, or belongs to one of several outputs" in notes
    # Labels of one output only: the metrics are still those of two.
    detector = StuckDetector((X, Y))
    notes_of(model, detector, (X, [Y, Y]))
    assert "training_accuracy" not in detector.diagnosis_.evidence


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
    notes_of(model, StuckDetector((x, Y)), (x, Y))


@pytest.mark.parametrize(
    ("metrics", "note"),
    [
        ({"metrics": ["binary_accuracy"]}, "`binary_accuracy` does not count samples with one-hot labels"),
        ({"metrics": [keras.metrics.TopKCategoricalAccuracy(2)]}, "No training accuracy"),
        ({"weighted_metrics": ["accuracy"], "metrics": None}, "`accuracy` is weighted"),
    ],
    ids=["entries", "top-k", "weighted"],
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


def test_probe_data_that_the_model_cannot_take():
    """Probe inputs of another shape: the fit goes on, and the report says what went wrong."""
    model = classifier(bias=(1.0, 0.0, 0.0), rate=0.0)
    model.get_layer("head").kernel.assign(np.zeros((4, 3)))
    assert "could not be looked at: " in notes_of(model, StuckDetector((X[:, :3], Y)))


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


def test_a_loss_that_is_not_a_number_is_reported_and_no_verdict():
    """NaN from the first batch: no crash, no "frozen"; the report has the loss as it is, also as JSON."""
    detector = StuckDetector((X, Y))
    notes_of(classifier(bias=(math.nan, 0.0, 0.0)), detector)
    assert detector.diagnosis_.evidence["training_loss"] == "nan"
    assert '"training_loss": "nan"' in detector.diagnosis_.to_json()
    assert "training loss       nan" in detector.diagnosis_.text()


def test_a_collapse_after_progress_is_not_followed():
    """Above chance first, at chance later: neither "learning" nor "at chance so far"; the report says until when."""
    detector = StuckDetector((X, Y), false_alarm=0.5)
    model = classifier(bias=(0.0, 0.0, 0.0), rate=0.0)
    model.get_layer("head").kernel.assign([[-1.0, 1.0, 0.0], *[[0.0] * 3] * 3])

    def spoil(epoch, logs):
        model.get_layer("head").kernel.assign(np.zeros((4, 3)))

    spoiling = keras.callbacks.LambdaCallback(on_epoch_end=spoil)
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[detector, spoiling])
    assert detector.diagnosis_.state is State.TOO_EARLY
    assert "above chance by epoch 1 and is not now" in detector.diagnosis_.cannot_know[-1]
