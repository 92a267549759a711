"""Sick runs are called frozen, with the reason; their healthy twins are not."""

import copy
import pickle

import keras
import numpy as np
import pytest
from stuck.builders import FAR, balanced_data, classifier, run, verdicts

from keras_clr import CyclicLR
from keras_clr._errors import StuckTrainingError
from keras_clr._keras.gradients import GradientProbe
from keras_clr.stuck.detector import StuckDetector
from keras_clr.stuck.diagnosis import Diagnosis, State
from keras_clr.stuck.probe import Probe


def watched(model, data, probe_data=None, **fit_arguments):
    """The detector after a fit in which a verdict of "frozen" would have been an error."""
    detector = StuckDetector(probe_data or data, on_stuck="raise")
    run(model, detector, data, **fit_arguments)
    return detector


def is_without_gradient(model, data):
    """True if the certificate's first condition holds: what else must keep the detector from its verdict."""
    return GradientProbe.of(model).read(Probe(*data).batches(model, 32), num_draws=1).zero


def test_a_saturated_run_is_frozen_and_says_why():
    """All outputs saturated on one class, half of them wrong: frozen at the second epoch end, the clip named."""
    data = balanced_data(96)
    detector = StuckDetector(data)
    with verdicts() as messages:
        run(classifier(), detector, data, epochs=4)
    assert len(messages) == 1
    assert messages[0].startswith("Epoch 2: StuckDetector: frozen (saturated-clipped-loss). All 96 probe samples")
    assert detector.stuck_epoch_ == 1
    assert detector.diagnosis_.state is State.FROZEN
    (finding,) = detector.diagnosis_.findings
    assert (finding.code, finding.confidence) == ("saturated-clipped-loss", "certificate")
    assert (finding.numbers["num_wrong"], finding.numbers["num_right"]) == (48, 48)
    assert finding.numbers["loss_per_wrong_answer"] == pytest.approx(16.118, abs=1e-2)
    assert finding.numbers["logit_spread"] == pytest.approx(FAR, rel=0.05)
    assert "8.0590 = (1 - accuracy) x 16.118" in finding.sentence
    assert detector.diagnosis_.evidence["training_accuracy"] == 0.5


@pytest.mark.parametrize("labels", ["sparse", "binary"])
def test_the_other_cross_entropies_clip_as_well(labels):
    """Class numbers and a single sigmoid unit: frozen for the same reason, with the loss of the same kind to take."""
    data = balanced_data(96, labels="sparse")
    if labels == "sparse":
        model = classifier(loss="sparse_categorical_crossentropy")
    else:
        tail = [keras.layers.Dense(1, "sigmoid", name="head"), keras.layers.Reshape((1,))]
        model = keras.Sequential([keras.Input((4,)), *tail])
        model.get_layer("head").bias.assign([FAR])
        model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
    detector = StuckDetector(data)
    with verdicts() as messages:
        run(model, detector, data)
    assert len(messages) == 1
    (finding,) = detector.diagnosis_.findings
    assert finding.code == "saturated-clipped-loss"
    assert {"sparse": "SparseCategorical", "binary": "Binary"}[labels] + "Crossentropy(from_logits=True)" in finding.fix
    # A sigmoid saturates at its upper end, where a wrong answer costs a little less.
    price = {"sparse": 16.118, "binary": 15.942}[labels]
    assert finding.numbers["loss_per_wrong_answer"] == pytest.approx(price, abs=1e-2)


def test_a_dead_network_is_frozen_and_the_dead_layer_named():
    """No unit of the output is alive and the loss has no clip: frozen, and the layers say why."""
    x, y = balanced_data(96, labels="sparse")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "relu", name="head")])
    model.get_layer("head").bias.assign([-FAR])
    model.compile("sgd", "mse", metrics=["binary_accuracy"])
    detector = StuckDetector((x, y))
    with verdicts() as messages:
        run(model, detector, (x, y))
    assert len(messages) == 1
    codes = [finding.code for finding in detector.diagnosis_.findings if finding.confidence == "certificate"]
    assert (codes[0], codes[-1]) == ("dead-layer", "zero-gradient")


def layer_of_two(weights):
    """Four inputs, two relu units, a classifier of two classes; the relu units have these weights of feature 0."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(2, "relu", name="hidden"), keras.layers.Dense(2, name="head")]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    hidden = model.get_layer("hidden")
    hidden.kernel.assign([weights, *[[0.0, 0.0]] * 3])
    hidden.bias.assign([-FAR, -FAR * (weights[1] == 0.0)])
    model.get_layer("head").bias.assign([1.0, 0.0])
    return model


def test_a_network_whose_output_ignores_the_input_is_frozen():
    """No relu unit is alive. The head's bias still learns the shares of the classes: frozen all the same."""
    data = balanced_data(96, labels="sparse")
    detector = StuckDetector(data)
    with verdicts() as messages:
        run(layer_of_two([0.0, 0.0]), detector, data)
    assert len(messages) == 1
    assert detector.diagnosis_.state is State.FROZEN
    finding = next(f for f in detector.diagnosis_.findings if f.code == "output-ignores-input")
    # Kernel and bias of the dead layer, and the head's kernel, which multiplies zeros.
    assert (finding.numbers["num_held"], finding.numbers["num_variables"]) == (3, 4)


def test_one_unit_that_sees_the_input_is_enough():
    """The twin: the other unit is alive, if only just. Nothing is frozen, and in the end it learns."""
    data = balanced_data(96, labels="sparse")
    model = layer_of_two([0.0, 1e-6])
    detector = StuckDetector(data, on_stuck="raise", margin=0.2)
    run(model, detector, data, epochs=30)
    assert detector.diagnosis_.state is State.LEARNING


def test_the_same_weights_with_logits_learn():
    """The twin of the saturated run, its loss computed from logits, learns and is said to."""
    data = balanced_data(96)
    model = classifier(from_logits=True, rate=20.0)
    assert watched(model, data, epochs=12).diagnosis_.state is State.LEARNING


@pytest.mark.parametrize(("rate", "code"), [(1e-9, "rate-too-low"), (0.0, "rate-zero")])
def test_a_run_that_only_goes_slowly_is_not_frozen(rate, code):
    """At chance for hundreds of samples, at a tiny rate or none: at chance so far, and the rate is named."""
    x, y = np.random.default_rng(0).normal(size=(96, 4)), balanced_data(96)[1]
    model = classifier(bias=(1.0, 0.0, 0.0), rate=rate)
    model.get_layer("head").kernel.assign(np.zeros((4, 3)))
    detector = StuckDetector((x, y), on_stuck="raise", false_alarm=0.05)
    codes = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: codes.append([finding.code for finding in detector.diagnosis_.findings])
    )
    model.fit(x, y, epochs=8, batch_size=32, verbose=0, callbacks=[detector, note])
    assert detector.diagnosis_.state is State.AT_CHANCE
    assert codes[6][0] == code
    assert detector.diagnosis_.evidence["samples_so_far"] == 768


def test_the_bottom_of_a_cycle_is_not_frozen():
    """A cycle that starts at next to nothing: at chance while it is down there, learning when it has risen."""
    data = balanced_data(96)
    cycle = CyclicLR(base_lr=1e-9, max_lr=0.5, step_size=40)
    model = classifier(bias=(4.0, 0.0, 0.0))
    model.get_layer("head").kernel.assign(np.zeros((4, 3)))
    states, detector = [], StuckDetector(data, on_stuck="raise", false_alarm=0.5)
    note = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: states.append(detector.diagnosis_.state))
    model.fit(*data, epochs=14, batch_size=32, verbose=0, callbacks=[cycle, detector, note])
    assert states[2] is State.AT_CHANCE
    assert states[-1] is State.LEARNING


def test_a_perfectly_trained_saturated_run_is_not_frozen():
    """All right and saturated, so without any gradient: it has learned everything."""
    x, y = balanced_data(96)
    model = classifier(bias=(0.0, 0.0, -FAR))
    model.get_layer("head").kernel.assign([[-FAR, FAR, 0.0], *[[0.0] * 3] * 3])
    x[:, 0] = np.where(y[:, 1] == 1, 2.0, -2.0)
    detector = watched(model, (x, y))
    assert is_without_gradient(model, (x, y))
    assert detector.diagnosis_.state is State.LEARNING


def test_a_run_that_knows_its_training_data_by_heart_is_not_frozen():
    """All right in training, at chance on the probe, saturated, no gradient: no failure of the optimisation."""
    x, y = balanced_data(96)
    model = classifier(bias=(0.0, 0.0, -FAR))
    model.get_layer("head").kernel.assign([[-FAR, FAR, 0.0], *[[0.0] * 3] * 3])
    x[:, 0] = np.where(y[:, 1] == 1, 2.0, -2.0)
    other = x, y[np.random.default_rng(1).permutation(96)]
    detector = watched(model, (x, y), probe_data=other)
    assert is_without_gradient(model, other)
    assert detector.diagnosis_.state is State.LEARNING


def test_a_run_that_is_right_on_the_probe_is_not_frozen():
    """At chance in training without a gradient, but right on the probe: the two disagree, so there is no verdict."""
    x, y = balanced_data(96)
    model = classifier(bias=(0.0, 0.0, -FAR))
    model.get_layer("head").kernel.assign([[-FAR, FAR, 0.0], *[[0.0] * 3] * 3])
    x[:, 0] = np.where(y[:, 1] == 1, 2.0, -2.0)
    half_wrong = y.copy()
    for label in (0, 1):
        rows = np.flatnonzero(y[:, label])[::2]
        half_wrong[rows] = y[rows][:, [1, 0, 2]]
    detector = watched(model, (x, half_wrong), probe_data=(x, y))
    assert detector.diagnosis_.evidence["training_accuracy"] == 0.5
    assert detector.diagnosis_.evidence["probe_accuracy"] == 1.0


def test_regularisation_that_moves_saturated_weights_is_no_standstill():
    """Saturated, but L2 pulls at the weights: it moves, so there is no certificate."""
    data = balanced_data(96)
    pulled = keras.layers.Dense(4, kernel_regularizer=keras.regularizers.L2(1e-3))
    model = classifier(extra=[pulled], optimizer=keras.optimizers.SGD(1e-3))
    assert watched(model, data).diagnosis_.findings == ()


def imbalanced_data(num_samples=400):
    x, _ = balanced_data(num_samples)
    classes = np.arange(num_samples) % 20 == 0
    x[:, 0] += 3.0 * classes
    return x, np.eye(3, dtype="float32")[classes.astype(int)]


@pytest.mark.parametrize("bias", [(2.0, 0.0, 0.0), (FAR, 0.0, 0.0)], ids=["healthy", "saturated"])
def test_a_run_at_the_majority_share_is_frozen_only_if_it_cannot_move(bias):
    """95 % right by always answering the majority is chance; with a gradient it may go on, without it is frozen."""
    data = imbalanced_data()
    model = classifier(bias=bias, rate=1e-9)
    model.get_layer("head").kernel.assign(np.zeros((4, 3)))
    detector = StuckDetector(data)
    with verdicts() as messages:
        run(model, detector, data, epochs=2)
    assert len(messages) == (bias[0] == FAR)
    assert detector.diagnosis_.chance.accuracy == 0.95
    assert detector.diagnosis_.evidence["training_accuracy"] == 0.95
    assert detector.diagnosis_.evidence["probe_accuracy"] == pytest.approx(0.95)
    assert (detector.diagnosis_.state is State.FROZEN) == (bias[0] == FAR)


def test_stop_ends_the_run_with_one_warning():
    """on_stuck="stop" warns once and ends the training at the epoch at whose end it is frozen."""
    data = balanced_data(96)
    detector = StuckDetector(data, on_stuck="stop")
    with verdicts() as messages:
        history = run(classifier(), detector, data, epochs=9)
    assert len(history.history["loss"]) == 2
    assert len(messages) == 1


def test_raise_carries_the_diagnosis():
    """on_stuck="raise" ends the fit with an error that has the diagnosis in it; the detector keeps it as well."""
    data = balanced_data(96)
    detector = StuckDetector(data, on_stuck="raise")
    with pytest.raises(StuckTrainingError, match="saturated-clipped-loss") as error:
        run(classifier(), detector, data)
    assert error.value.diagnosis is detector.diagnosis_
    assert detector.stuck_epoch_ == 1


def test_the_error_comes_whole_out_of_another_process():
    """What pools of processes do with an exception leaves message and diagnosis as they were."""
    diagnosis = Diagnosis(State.FROZEN)
    error = pickle.loads(pickle.dumps(StuckTrainingError("Epoch 2: frozen", diagnosis)))
    assert (type(error), str(error), error.diagnosis) == (StuckTrainingError, "Epoch 2: frozen", diagnosis)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda detector: pickle.loads(pickle.dumps(detector))])
@pytest.mark.parametrize("on_stuck", ["warn", "restart"])
def test_a_copy_has_the_verdict_and_leaves_the_model(copied, on_stuck):
    """Made after a fit, as tuners and pools of processes do; it watches another model as if it were new."""
    data, model = balanced_data(96), classifier()
    detector = StuckDetector(data, on_stuck=on_stuck)
    with verdicts():
        run(model, detector, data)
    twin = copied(detector)
    assert twin.diagnosis_ == detector.diagnosis_
    assert twin.stuck_epoch_ == detector.stuck_epoch_
    assert twin.restarts_ == detector.restarts_
    assert model not in vars(twin).values()
    run(classifier(bias=(0.0, 0.0, 0.0)), twin, data)
    assert twin.stuck_epoch_ is None
    assert twin.restarts_ == []
    assert twin.diagnosis_.chance == detector.diagnosis_.chance


def test_a_second_fit_starts_afresh(capsys):
    """Nothing of an earlier fit counts in the next; verbose says what changes, with epochs counted from 1."""
    data, model = balanced_data(96), classifier()
    detector = StuckDetector(data, verbose=1)
    with verdicts() as messages:
        run(model, detector, data, initial_epoch=3, epochs=6)
    assert len(messages) == 1
    assert detector.stuck_epoch_ == 4
    assert capsys.readouterr().out.split("\n\n") == [
        "\nEpoch 4: StuckDetector: too early to tell",
        "Epoch 5: StuckDetector: frozen\n",
    ]
    model.get_layer("head").bias.assign([0.0, 0.0, 0.0])
    run(model, detector, data, epochs=1)
    assert detector.stuck_epoch_ is None
    assert detector.diagnosis_.state is not State.FROZEN
    assert detector.diagnosis_.evidence["samples_so_far"] == 96
