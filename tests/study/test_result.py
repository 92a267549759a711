"""`Study` and its statistics: pure."""

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_clr.stuck.chance import Chance
from keras_clr.stuck.diagnosis import Diagnosis, State
from keras_clr.stuck.finding import Finding
from keras_clr.study.plan import VARY, plan_run
from keras_clr.study.result import Study
from keras_clr.study.run import Run
from keras_clr.study.statistics import Comparison, Share, exact_interval, fisher_p_value

pytest.importorskip("scipy", reason="its intervals need the extra `stats`")

FINDING = Finding("clipped-loss", "It is clipped.", {"share": 1.0}, "certificate", (), "fix()", "docs/why-stuck.md")
FROZEN = Diagnosis(State.FROZEN, (FINDING,), Chance("binary", 8, (0.5, 0.5), 0.5, 0.693))
LEARNING = Diagnosis(State.LEARNING, chance=FROZEN.chance)


def runs(stuck, healthy):
    """Runs of three epochs."""
    curves = {"loss": (8.0, 8.0, 8.0), "val_loss": (8.0, 8.0, 8.0), "val_accuracy": (0.5, 0.5, 0.5)}
    good = {"loss": (1.0, 0.5, 0.1), "val_loss": (1.0, 0.6, 0.2), "val_accuracy": (0.5, 0.949999988079071, 0.99)}
    return tuple(
        Run(
            i,
            7,
            i,
            "finished",
            curves if i < stuck else good,
            1 if i < stuck else None,
            FROZEN if i < stuck else LEARNING,
        )
        for i in range(stuck + healthy)
    )


def made(stuck, healthy, *more):
    """A study."""
    return Study({"vary": "shuffle", "seed": 0, "backend": "jax"}, runs(stuck, healthy) + more)


def test_the_share_of_stuck_runs_has_an_exact_interval():
    """Clopper and Pearson's: 3 of 20 is 3.2 % to 37.9 %, 0 of 10 up to 30.8 %."""
    share = made(3, 17).stuck_share
    assert (share.count, share.total, share.value) == (3, 20, 0.15)
    assert share.interval == pytest.approx((0.0321, 0.3789), abs=1e-4)
    assert Share(0, 10).interval == pytest.approx((0.0, 0.3085), abs=1e-4)
    assert Share(0, 0).interval == (0.0, 1.0)


@given(st.integers(1, 40), st.data())
def test_an_interval_ends_where_the_tail_is_a_fortieth(total, data):
    """The definition: at the lower end, `count` or more have a probability of 2.5 %; at the upper end, so few."""
    count = data.draw(st.integers(0, total))
    low, high = exact_interval(count, total)

    def probability(share, values):
        return sum(math.comb(total, k) * share**k * (1 - share) ** (total - k) for k in values)

    assert low == 0.0 if count == 0 else probability(low, range(count, total + 1)) == pytest.approx(0.025)
    assert high == 1.0 if count == total else probability(high, range(count + 1)) == pytest.approx(0.025)


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_the_p_value_is_the_share_of_tables_no_likelier(first, second, data):
    """The definition of Fisher's exact test, by counting."""
    a, b = data.draw(st.integers(0, first)), data.draw(st.integers(0, second))

    def ways(k):
        return math.comb(first, k) * math.comb(second, a + b - k)

    possible = range(max(0, a + b - second), min(first, a + b) + 1)
    expected = sum(ways(k) for k in possible if ways(k) <= ways(a)) / sum(map(ways, possible))
    assert fisher_p_value((a, first), (b, second)) == pytest.approx(expected)


def test_a_comparison_is_a_plain_sentence():
    """With the numbers, the test and what to make of it."""
    comparison = made(3, 17).compare(made(14, 6))
    assert str(comparison) == "3 of 20 against 14 of 20 stuck: p = 0.0011 (Fisher's exact test): hardly chance."
    assert comparison == Comparison(Share(3, 20), Share(14, 20), comparison.p_value)
    assert str(made(1, 3).compare(made(2, 2))).endswith("this may be chance.")


def test_a_comparison_names_what_else_is_different():
    """Of the arguments of `fit`, which."""
    first = dataclasses.replace(made(1, 3), settings={"data": "a", "model": "m", "fit": {"epochs": 3, "batch_size": 8}})
    second = dataclasses.replace(first, settings={"data": "b", "model": "m", "fit": {"epochs": 9, "batch_size": 8}})
    assert first.compare(second).different == ("data", "epochs")
    assert str(first.compare(second)).endswith("this may be chance. Different in the two: data, epochs.")
    assert first.compare(first).different == ()
    with pytest.raises(TypeError, match=r"`other` must be a Study\. Received: 3"):
        first.compare(3)


def test_failed_runs_count_in_no_share():
    """They are told apart; a NaN is a result."""
    failed = (
        Run(
            9,
            7,
            9,
            "died",
            error="TerminatedWorkerError: killed\nThe exit codes are {SIGKILL(-9)}\nRead more elsewhere.",
        ),
        Run(10, 7, 10, "error", error="E: x"),
    )
    study = made(1, 2, *failed, Run(11, 7, 11, "nan", {"loss": (math.nan,)}, 0, Diagnosis(State.DIVERGED)))
    assert (study.stuck_share.count, study.stuck_share.total) == (2, 4)
    assert study.failed == failed
    assert study.states == {"learning": 2, "frozen": 1, "diverged": 1}


def test_causes_are_those_of_the_stuck_runs():
    """The finding to act on first; "unknown" without one."""
    assert made(2, 1, Run(5, 7, 5, "nan", {}, 0, Diagnosis(State.DIVERGED))).causes == {"clipped-loss": 2, "unknown": 1}


def test_the_time_to_a_target_is_counted_in_epochs():
    """In single precision, as metrics are: 0.949999988 is 95 %. A run that never gets there has none."""
    time = made(1, 3).time_to(0.95)
    assert (time.metric, time.epochs, time.reached.count, time.median) == ("val_accuracy", (None, 2, 2, 2), 3, 2)
    assert made(2, 1).time_to(0.95).median is None
    # Of a loss, less is better.
    assert made(1, 1).time_to(0.5, "loss").epochs == (None, 2)


def test_scores_are_the_last_values_of_the_metric_of_success():
    """On validation data before training data, a loss last; another one by name."""
    assert made(1, 2).scores() == (0.5, 0.99, 0.99)
    assert made(1, 1).scores("loss") == (8.0, 0.1)
    only_losses = Study({}, (Run(0, 0, 0, "finished", {"loss": (1.0,), "val_loss": (2.0,), "learning_rate": (0.1,)}),))
    assert only_losses.metric == "val_loss"
    with pytest.raises(ValueError, match=r"was measured: loss, val_accuracy, val_loss\. Received: metric='f1'"):
        made(1, 1).scores("f1")


def test_text_and_html_say_the_same():
    """The table of a study."""
    study = made(3, 17)
    expected = """\
Study of 20 runs, vary shuffle, seed 0, backend jax
  stuck         3 of 20 (15%, 95 % interval 3% to 38%)
  causes        clipped-loss 3
  in the end    learning 17, frozen 3
  val_accuracy  median 0.99, from 0.5 to 0.99, after the last epoch"""
    assert str(study) == expected
    assert repr(study) == "Study(20 runs, 3 of 20 stuck, 0 failed)"
    assert "<td>3 of 20 (15%, 95 % interval 3% to 38%)</td>" in study._repr_html_()
    assert "stuck  0 of 0" in str(Study({}, ()))


def test_json_round_trip(tmp_path):
    """Through a file, too; a NaN stays one."""
    study = made(1, 2)
    assert Study.from_dict(json.loads(study.to_json())) == study
    study.save(tmp_path / "study.json")
    assert Study.load(tmp_path / "study.json") == study
    with_nan = made(0, 1, Run(1, 7, 1, "nan", {"loss": (math.nan, math.inf)}))
    curve = Study.from_dict(json.loads(with_nan.to_json())).runs[1].curves["loss"]
    assert math.isnan(curve[0])
    assert curve[1] == math.inf


def test_saving_replaces_a_file_at_once_and_leaves_nothing_beside_it(tmp_path):
    """What cannot be written leaves the old file."""
    path = tmp_path / "study.json"
    made(1, 1).save(path)
    with pytest.raises(TypeError):
        Study({"what": object()}, ()).save(path)
    assert Study.load(path) == made(1, 1)
    assert list(tmp_path.iterdir()) == [path]


def test_a_data_frame_has_a_row_for_each_run():
    """Of each metric the last value."""
    pytest.importorskip("pandas", reason="an extra")
    frame = made(1, 1, Run(2, 7, 2, "died")).to_frame()
    assert list(frame["is_stuck"]) == [True, False, False]
    assert list(frame["val_accuracy"][:2]) == [0.5, 0.99]
    assert math.isnan(frame["val_accuracy"][2])


def test_the_picture_has_a_curve_for_each_run():
    """Stuck ones in red; on the Axes that it is given."""
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="an extra")
    figure, ax = pyplot.subplots()
    assert made(2, 3).plot(ax) is ax
    curves = [line for line in ax.lines if len(line.get_xdata()) == 3]
    assert [line.get_color() for line in curves] == ["tab:blue"] * 3 + ["tab:red"] * 2
    assert list(curves[0].get_ydata()) == [0.5, 0.949999988079071, 0.99]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["not stuck (3)", "stuck (2)", "chance"]
    pyplot.close(figure)
    with pytest.raises(TypeError, match=r"`ax` must be matplotlib Axes or None\. Received: ax='loss'"):
        made(2, 3).plot("loss")


def test_it_is_immutable():
    """A result does not change."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        made(1, 1).runs = ()


@pytest.mark.parametrize("vary", VARY)
def test_seeds_differ_just_where_they_should(vary):
    """Those of a run do not depend on how many there are; studies with other seeds share none."""
    plans = [plan_run(i, vary, 0) for i in range(50)]
    assert len({plan.init_seed for plan in plans}) == (1 if vary == "shuffle" else 50)
    assert len({plan.order_seed for plan in plans}) == (1 if vary == "init" else 50)
    assert not {plan.order_seed for plan in plans} & {plan_run(i, vary, 1).order_seed for i in range(50)}
    assert all(plan.training_seed != plan.init_seed for plan in plans)
