"""The report: what a user reads, what a program gets, and that the code in it can be pasted."""

import dataclasses
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from stuck.builders import FAR, balanced_data, classifier, run, verdicts

from keras_clr._keras.gradient_reading import GradientReading
from keras_clr.stuck.causes import CAUSES, ranked
from keras_clr.stuck.chance import chance_level
from keras_clr.stuck.checks.training import Reach, Standstill, check_standstill, count_clipped
from keras_clr.stuck.detector import StuckDetector
from keras_clr.stuck.diagnosis import Diagnosis, State
from keras_clr.stuck.finding import Finding
from keras_clr.stuck.probe import Target

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[2]

STANDSTILL = Standstill(
    gradient=GradientReading(zeros=(True,) * 4, num_unconnected=0, num_draws=3),
    num_samples=256,
    num_checks=2,
    whole=True,
    updates_ahead=None,
    accuracy=0.5,
    loss=8.0590477,
    loss_kind="categorical",
    clipped=(128, 128),
    units=3,
    rate=0.0003,
    reach=Reach(spread=812.3, step=312.4, rate=0.0003),
    inputs=(127.0, 52.0),
)
EVIDENCE = {
    "epoch": 4,
    "training_loss": 8.0590477,
    "training_accuracy": 0.5,
    "num_samples": 3000.0,
    "wald_statistic": 75.31,
    "wald_threshold": 6.9078,
    "samples_so_far": 15000.0,
    "expected_samples": 1374.6,
    "margin": 0.05,
    "chance_accuracy": 0.5,
    "false_alarm": 0.001,
}
CHANCE = chance_level(np.eye(3)[np.arange(1000) % 2])
OTHER_LOSS = dataclasses.replace(STANDSTILL, loss_kind=None, loss=0.25, reach=None, inputs=None)
DIAGNOSES = {
    "frozen_clipped": Diagnosis(
        State.FROZEN, (check_standstill(STANDSTILL),), CHANCE, EVIDENCE | {"probe_accuracy": 0.5}
    ),
    "frozen_unknown": Diagnosis(
        State.FROZEN, (check_standstill(OTHER_LOSS),), CHANCE, EVIDENCE | {"training_loss": 0.25, "probe_accuracy": 0.5}
    ),
    "at_chance": Diagnosis(State.AT_CHANCE, (), CHANCE, EVIDENCE | {"training_loss": 0.6941}),
    "learning": Diagnosis(State.LEARNING, (), CHANCE, EVIDENCE | {"training_loss": 0.31, "training_accuracy": 0.871}),
    "no_probe_data": Diagnosis(
        State.TOO_EARLY,
        evidence={"epoch": 0, "training_loss": "nan"},
        cannot_know=("No `probe_data`: the chance level of the labels cannot be known, so there is no verdict.",),
    ),
}


@pytest.mark.parametrize("name", DIAGNOSES)
def test_the_report_is_the_golden_text(name):
    """The text that a user reads changes only when somebody means it to."""
    expected = (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")
    assert str(DIAGNOSES[name]) + "\n" == expected


@pytest.mark.parametrize("name", DIAGNOSES)
def test_a_diagnosis_survives_json(name):
    """Standard JSON and back: equal, and the state a plain string on the way."""
    diagnosis = DIAGNOSES[name]
    data = json.loads(diagnosis.to_json(indent=1))
    assert data == diagnosis.to_dict()
    assert Diagnosis.from_dict(data) == diagnosis
    assert data["state"] == str(diagnosis.state)


def test_a_live_diagnosis_survives_json():
    """What the detector itself wrote in a frozen run has nothing in it that JSON does not know."""
    data = balanced_data(96)
    detector = StuckDetector(data)
    with verdicts():
        run(classifier(), detector, data)
    assert Diagnosis.from_dict(json.loads(detector.diagnosis_.to_json())) == detector.diagnosis_
    assert repr(detector.diagnosis_) == "Diagnosis('frozen', epoch=1, findings=[saturated-clipped-loss])"


def test_the_fix_for_the_clipped_loss_learns():
    """The sick run, with the pasted fix in place of its head, loss and input scale, learns."""
    x, y = balanced_data(192)
    x = 100.0 * x + 300.0
    sick, detector = classifier(), StuckDetector((x, y))
    sick.get_layer("head").kernel.assign(np.zeros((4, 3)))
    with verdicts() as messages:
        run(sick, detector, (x, y))
    assert len(messages) == 1
    pasted = {}
    exec(detector.diagnosis_.findings[0].fix, pasted)
    model = keras.Sequential([keras.Input((4,)), pasted["scale"], pasted["head"]])
    model.compile(keras.optimizers.Adam(0.05), loss=pasted["loss"], metrics=pasted["metrics"])
    history = run(model, StuckDetector((x, y), on_stuck="raise"), (x, y), epochs=8).history
    assert history["accuracy"][-1] > 0.95


def test_the_fix_for_one_unit_counts_right_answers_of_logits():
    """A logit is right on its side of 0, not of 0.5: the metric in the fix knows."""
    fix = check_standstill(dataclasses.replace(STANDSTILL, loss_kind="binary", units=1, inputs=None)).fix
    pasted = {}
    exec(fix, pasted)
    assert pasted["head"].units == 1
    metric = pasted["metrics"][0]
    metric.update_state([[1.0], [0.0]], [[0.2], [-0.2]])
    assert float(metric.result()) == 1.0


def test_the_fix_for_an_unknown_cause_shows_the_dead_layer(capsys):
    """The pasted code names the layers, and the dead one does not change over the samples."""
    x, _ = balanced_data(32)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "relu", name="dead"), keras.layers.Dense(1)])
    model.get_layer("dead").bias.assign([-FAR, -FAR])
    exec(check_standstill(OTHER_LOSS).fix, {"model": model, "x": x})
    assert capsys.readouterr().out.splitlines()[0] == "dead changes over the samples by 0.0"


@pytest.mark.parametrize(
    ("loss", "accuracy", "is_signature"),
    [
        (8.059, 0.5, True),
        (7.971, 0.5, True),
        (14.506, 0.1, True),
        (0.6931, 0.5, False),
        (8.3, 0.5, False),
        (0.0, 1.0, False),
        (None, 0.5, False),
        (8.059, None, False),
    ],
)
def test_the_loss_of_clipped_wrong_answers_is_recognised(loss, accuracy, is_signature):
    """Loss = (1 - accuracy) x 16.118, or x 15.942 at the upper end, is said to be the price of a clip; no other is."""
    finding = check_standstill(dataclasses.replace(STANDSTILL, loss=loss, accuracy=accuracy))
    assert ("The training loss says the same" in finding.sentence) == is_signature


def test_one_sample_that_is_not_clipped_takes_the_cause_away():
    """The clip explains a standstill only if it holds every sample."""
    assert check_standstill(STANDSTILL).code == "saturated-clipped-loss"
    assert check_standstill(dataclasses.replace(STANDSTILL, clipped=(128, 127))).code == "zero-gradient"


def test_what_is_clipped_is_what_keras_clips():
    """Below 1e-7 and above 1 - 1e-7 in the output's precision, of the true class, after rows are made to sum to 1."""
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [2.0, 2e-8], [1 - 1e-6, 1e-6]], "float32")
    assert count_clipped(rows, np.array([0, 0, 0, 1, 1]), 1e-7) == (2, 1)
    unit = np.array([[1.0], [1.0], [0.0], [0.3], [1 - 6e-8]], "float32")
    assert count_clipped(unit, np.array([1, 0, 0, 1, 1]), 1e-7) == (1, 3)


def test_the_probe_accuracy_undoes_the_spread_over_the_classes():
    """Nine of ten labels are of class 0, the probe has five of each: answering 0 is right in nine of ten."""
    classes = np.array([0] * 5 + [1] * 5)
    target = Target(CHANCE, classes, classes, np.where(classes == 0, 90 / 5, 10 / 5))
    assert target.accuracy(np.tile([[0.9, 0.1]], (10, 1)), 0.5) == pytest.approx(0.9)
    assert target.accuracy(np.full((10, 1), 0.4), 0.5) == pytest.approx(0.9)
    assert target.accuracy(np.full((10, 1), 0.4), 0.0) == pytest.approx(0.1)


@pytest.mark.parametrize("code", CAUSES)
def test_every_cause_has_its_place_in_the_documentation(code):
    """The link of a finding leads to a heading that exists."""
    page, anchor = CAUSES[code].link.split("#")
    assert anchor == code
    assert f"\n### {code}\n" in (ROOT / page).read_text(encoding="utf-8")


def finding_of(code, confidence):
    """A finding with nothing in it but its code."""
    return Finding(code, "", {}, confidence, (), "", "")


def test_findings_are_ranked():
    """The surest that says why first, then as in the catalogue; each once; what another one explains is left out."""
    found = [
        finding_of("input-scale", "hint"),
        finding_of("constant-output", "certificate"),
        finding_of("saturated-clipped-loss", "forecast"),
        finding_of("zero-gradient", "certificate"),
        finding_of("dead-layer", "certificate"),
        finding_of("dead-layer", "certificate"),
    ]
    codes = [finding.code for finding in ranked(found)]
    assert codes == ["dead-layer", "saturated-clipped-loss", "zero-gradient", "input-scale"]
    found[2] = finding_of("saturated-clipped-loss", "hint")
    assert "constant-output" in [finding.code for finding in ranked(found)]
    # A relu that is divided by a sum of 0 is where the NaN came from.
    nan = [finding_of("diverged", "certificate"), finding_of("cross-entropy-without-activation", "forecast")]
    assert [finding.code for finding in ranked(nan)] == ["cross-entropy-without-activation"]


def test_what_spoils_any_head_comes_before_the_head():
    """Of the same confidence: labels and inputs that are no numbers first; what says no why comes last."""
    found = [
        finding_of("no-signal-found", "hint"),
        finding_of("metric-misreads-output", "certificate"),
        finding_of("vanishing-gradient", "hint"),
        finding_of("non-finite-inputs", "certificate"),
        finding_of("labels-outside-range", "certificate"),
    ]
    codes = [finding.code for finding in ranked(found)]
    assert codes == [
        "non-finite-inputs",
        "labels-outside-range",
        "metric-misreads-output",
        "vanishing-gradient",
        "no-signal-found",
    ]


def test_numbers_of_every_kind_become_json():
    """NaN, infinity, and what numpy makes, in evidence, history and findings, nested or not."""
    numbers = {"nan": float("nan"), "inf": np.float32("inf"), "int": np.int64(3), "rows": np.array([1.5, np.nan])}
    finding = dataclasses.replace(finding_of("dead-layer", "hint"), numbers=numbers)
    evidence = {"epoch": np.int64(0), "training_loss": float("nan"), "outputs": [{"state": "learning", **numbers}]}
    diagnosis = Diagnosis(State.DIVERGED, (finding,), evidence=evidence, history=({"epoch": 0, **numbers},))
    plain = {"nan": "nan", "inf": "inf", "int": 3, "rows": [1.5, "nan"]}
    data = json.loads(diagnosis.to_json())
    assert data == diagnosis.to_dict()
    assert data["evidence"] == {"epoch": 0, "training_loss": "nan", "outputs": [{"state": "learning"} | plain]}
    assert (data["history"], data["findings"][0]["numbers"]) == ([{"epoch": 0} | plain], plain)
    assert "&quot;nan&quot;" in diagnosis.to_html()
