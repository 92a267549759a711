"""What the numbers of the epochs say: each rule with the smallest sick run and a twin that stays silent."""

import dataclasses

import numpy as np
import pytest

from keras_clr.stuck.checks.run import check_run, needed_move
from keras_clr.stuck.checks.run_seen import EpochSeen, RunSeen
from keras_clr.stuck.diagnosis import State

QUIET = EpochSeen(0, State.LEARNING, loss=0.6, accuracy=0.6, learning_rate=1e-3)
RUN = RunSeen(
    epochs=(),
    chance=0.5,
    margin=0.05,
    constant_loss=0.693,
    num_samples=1000.0,
    epochs_left=5,
    needed=0.2,
    first_penalty=100.0,
)


def codes(epochs, **fields):
    """Codes that are found in epochs, each given by what differs from a quiet one."""
    seen = [dataclasses.replace(QUIET, epoch=i, **epoch) for i, epoch in enumerate(epochs)]
    return [finding.code for finding in check_run(dataclasses.replace(RUN, epochs=seen, **fields))]


AT_CHANCE, COLLAPSED, SHARES = ({"state": s} for s in (State.AT_CHANCE, State.COLLAPSED, State.CLASS_SHARES))
FROZEN = {"state": State.FROZEN, "accuracy": 0.5}
NOTHING = AT_CHANCE | {"loss": 0.0, "probe_loss": 0.7}
COSTLY = {"loss": 2.0, "penalty": 2.0}
CHEAP = AT_CHANCE | {"loss": 1e-3, "accuracy": 0.5}
STILL = AT_CHANCE | {"learning_rate": 0.0, "moved": 0.0}


@pytest.mark.parametrize(
    ("code", "sick", "healthy"),
    [
        ("diverged", [{}, {"state": State.DIVERGED, "loss": float("nan")}], [{}, {"loss": 1e6}]),
        ("zero-sample-weights", [NOTHING] * 2, [NOTHING | {"loss": 0.01}] * 2),
        # Nothing but what the weights cost.
        ("zero-sample-weights", [NOTHING | COSTLY] * 2, [NOTHING | COSTLY | {"loss": 2.7}] * 2),
        # A run that has fitted its data has no loss either.
        ("zero-sample-weights", [NOTHING] * 2, [NOTHING | {"accuracy": 1.0}] * 2),
        # It had something to teach, as where the loss looks behind a softmax over one unit.
        ("zero-sample-weights", [NOTHING] * 3, [NOTHING, NOTHING | {"loss": 0.5}, NOTHING]),
        ("penalty-dominates-loss", [SHARES | {"penalty": 0.9}], [SHARES | {"penalty": 1.1}]),
        ("penalty-dominates-loss", [SHARES | {"penalty": 7.0}], [{"penalty": 7.0}]),
        # The loss above that of guessing is what the weights cost.
        ("rate-too-high", [AT_CHANCE | {"loss": 5.0}] * 3, [AT_CHANCE | {"loss": 5.0, "penalty": 4.3}] * 3),
        ("rate-zero", [STILL, STILL], [STILL, STILL | {"moved": 1e-9}]),
        ("rate-zero", [STILL, STILL], [STILL | {"learning_rate": 1e-9}, STILL]),
        ("rate-too-high", [{"accuracy": 0.9}, COLLAPSED | {"accuracy": 0.5}], [{"accuracy": 0.9}, {"accuracy": 0.8}]),
        ("rate-too-high", [AT_CHANCE | {"loss": 5.0}] * 3, [AT_CHANCE | {"loss": loss} for loss in (5.0, 4.0, 3.0)]),
        ("rate-too-high", [AT_CHANCE | {"loss": 5.0}] * 3, [AT_CHANCE | {"loss": 0.7}] * 3),
        # It froze after it had learned; one that never learned is another matter.
        ("rate-too-high", [{"accuracy": 0.9}, FROZEN], [AT_CHANCE, FROZEN]),
        ("rate-too-low", [AT_CHANCE | {"moved": 1e-4}] * 3, [AT_CHANCE | {"moved": 1e-2}] * 3),
        # Doubling from epoch to epoch, it gets there.
        ("rate-too-low", [AT_CHANCE | {"moved": 1e-4}] * 3, [AT_CHANCE | {"moved": 1e-4 * 4**i} for i in range(3)]),
        ("validation-at-chance", [{"accuracy": 0.9, "validation_accuracy": 0.5}] * 3, [{"accuracy": 0.9}] * 3),
        (
            "validation-at-chance",
            [{"accuracy": 0.9, "validation_accuracy": 0.5}] * 3,
            [{"accuracy": 0.9, "validation_accuracy": v} for v in (0.5, 0.5, 0.6)],
        ),
    ],
)
def test_each_rule_and_its_twin(code, sick, healthy):
    """The sick run has the finding, first; the healthy twin has none."""
    assert codes(sick)[0] == code
    assert codes(healthy) == []


def test_one_class_at_a_time():
    """Right in training, at chance on the probe: only with labels in the order of their classes is the order blamed."""
    epoch = [{"accuracy": 0.9, "probe_accuracy": 0.5}]
    assert codes(epoch, labels_in_order=True) == ["one-class-at-a-time"]
    assert codes(epoch) == codes([{"accuracy": 0.9, "probe_accuracy": 0.9}], labels_in_order=True) == []


def test_a_split_of_sorted_data():
    """Where the labels come in order, the split is blamed if there is one, and the fix shuffles, too."""
    epochs = [dataclasses.replace(QUIET, epoch=i, accuracy=0.9, validation_accuracy=0.0) for i in range(3)]
    for in_order in (False, True):
        (finding,) = check_run(dataclasses.replace(RUN, epochs=epochs, labels_in_order=in_order))
        assert finding.code == "validation-at-chance"
        assert ("validation_split" in finding.sentence) is in_order
        assert ("permutation" in finding.fix) is in_order
        assert "model.evaluate" in finding.fix


def test_wrong_answers_that_cost_next_to_nothing():
    """With half of the answers wrong a cross-entropy is at least 0.35, if all samples weigh 1."""
    seen = {"clear_mistakes": True, "num_unanswered": 1}
    assert codes([CHEAP], **seen) == ["zero-sample-weights"]
    for healthy in ({"loss": 0.05}, {"state": State.LEARNING}, {"accuracy": 0.9999}):
        assert codes([CHEAP | healthy], **seen) == []
    # Of another loss, nothing is known; and a class that is answered weighs something.
    assert codes([CHEAP], **seen | {"clear_mistakes": False}) == codes([CHEAP], **seen | {"num_unanswered": 0}) == []


def test_a_sum_is_not_compared_with_a_mean():
    """The training loss of a sum is as many times that of the probe as a batch has samples."""
    assert codes([AT_CHANCE | {"loss": 5.0}] * 3) == ["rate-too-high"]
    assert codes([AT_CHANCE | {"loss": 5.0}] * 3, summed=True) == []


def test_no_signal():
    """A run at the loss of the class shares has learned nothing else; it is a hint."""
    epoch = SHARES | {"probe_loss": 0.694}
    assert codes([epoch], skill=-0.001) == ["no-signal-found"]


def test_the_last_report_is_about_another_fit():
    """With no epoch left, a rate is too low if as many epochs again would not do; with an unknown number, who knows."""
    assert codes([AT_CHANCE | {"moved": 1e-4}] * 3, epochs_left=0) == ["rate-too-low"]
    assert codes([AT_CHANCE | {"moved": 1e-2}] * 3, epochs_left=0) == []
    assert codes([AT_CHANCE | {"moved": 1e-4}] * 3, epochs_left=None) == []


def test_how_far_answers_must_move():
    """Of the wrong ones, those that are nearest; of one unit the way to the threshold, of several half the gap."""
    rows = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7]])
    assert needed_move(rows, np.array([1, 1, 1, 1]), 0.5, 0.25) == pytest.approx(0.1)
    assert needed_move(rows, np.array([1, 1, 1, 1]), 0.5, 0.5) == pytest.approx(0.4)
    assert needed_move(rows, np.array([1, 1, 1, 1]), 0.5, 0.75) is None
    assert needed_move(np.array([[0.2], [0.4]]), np.array([1, 1]), 0.5, 0.5) == pytest.approx(0.1)
