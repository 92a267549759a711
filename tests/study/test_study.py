"""`study` with real worker processes, and what it refuses before anything is trained."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from study import builders

import keras_clr
from keras_clr import Study, study

pytest.importorskip("joblib", reason="a study needs the extra `study`")

ARGUMENTS = {"epochs": 2, "validation_split": 0.25}

TO_BE_KILLED = f"""
import keras_clr
from study import builders
x, y = builders.samples()
arguments = dict({ARGUMENTS}, runs=500, n_jobs=1, callbacks=builders.cycling())
keras_clr.study(builders.build_classifier, x, y, save_to="study.json", **arguments)
"""


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """The file of a study that was killed after its first run, in a process and on a worker of its own."""
    folder = tmp_path_factory.mktemp("killed")
    # What it leaves behind when it is killed is removed with the folder.
    places = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *sys.path]), "TMPDIR": str(folder)}
    with open(folder / "stderr", "w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", TO_BE_KILLED], cwd=folder, env={**os.environ, **places}, stderr=stderr
        )
        deadline = time.monotonic() + 120
        try:
            while process.poll() is None and time.monotonic() < deadline:
                with contextlib.suppress(FileNotFoundError):
                    if Study.load(folder / "study.json").runs:
                        break
                time.sleep(0.05)
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
    file = folder / "study.json"
    assert file.exists(), (folder / "stderr").read_text()
    return file


@pytest.fixture(scope="module")
def continued(killed):
    """The killed study with two runs more, and the same in one go on two workers."""
    x, y = builders.samples()
    before = Study.load(killed)
    runs = len(before.runs) + 2
    arguments = {"runs": runs, "callbacks": builders.cycling(), "verbose": 0, **ARGUMENTS}
    after = study(builders.build_classifier, x, y, n_jobs=1, save_to=killed, **arguments)
    straight = study(builders.build_classifier, x, y, n_jobs=2, **arguments)
    return before, after, straight, Study.load(killed)


def test_a_killed_study_goes_on_where_it_was(continued):
    """Its runs are kept as they are, their times too."""
    before, after, _, _ = continued
    assert len(before.runs) >= 1
    assert [run.seconds for run in after.runs[: len(before.runs)]] == [run.seconds for run in before.runs]
    assert len(after.runs) == len(before.runs) + 2
    assert {run.status for run in after.runs} == {"finished"}


def test_results_are_the_same_for_any_number_of_workers_and_after_a_kill(continued):
    """To the last bit of every curve and every diagnosis."""
    _, after, straight, saved = continued
    assert after == straight == saved
    assert len({run.curves["loss"] for run in straight.runs}) == len(straight.runs)
    assert len({run.initial_state for run in straight.runs}) == 1


def test_each_run_gets_a_copy_of_the_callbacks(continued):
    """The cycle begins anew in each run, on one worker as on two."""
    for run in continued[1].runs:
        assert run.curves["learning_rate"] == continued[1].runs[0].curves["learning_rate"]


def test_a_study_that_is_complete_trains_nothing(continued, killed):
    """It comes from the file, as many runs as are asked for; the others stay there."""
    x, y = builders.samples()
    again = study(
        builders.build_classifier, x, y, runs=1, callbacks=builders.cycling(), save_to=killed, verbose=0, **ARGUMENTS
    )
    assert [run.seconds for run in again.runs] == [run.seconds for run in continued[1].runs[:1]]
    assert Study.load(killed) == continued[3]


def test_a_file_of_another_study_is_refused_and_stays(continued, killed):
    """It says what is not the same."""
    content = killed.read_text()
    x, y = builders.samples()
    message = r"holds another study\. Different: seed was 0, is 1; data was .*; epochs was .*, is 7"
    with pytest.raises(ValueError, match=message):
        refused(x=x + 1, y=y, save_to=killed, seed=1, epochs=7)
    assert killed.read_text() == content


def refused(build_model=builders.build_classifier, x=None, y=None, **arguments):
    """Calls `study` as it must not be called."""
    if x is None:
        x, y = builders.samples(8)
    return study(build_model, x, y, **{"runs": 2, "verbose": 0, **arguments})


_THE_ONLY = builders.build_classifier()


def build_nothing_new():
    """A model that was there before."""
    return _THE_ONLY


def build_uncompiled():
    """Has no loss."""
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)], name="bare")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"runs": 0}, r"`runs` must be an integer >= 1\. Received: runs=0"),
        ({"runs": 2.0}, r"`runs` must be an integer >= 1\. Received: runs=2.0"),
        ({"epochs": 0}, r"`epochs` must be an integer >= 1\. Received: epochs=0"),
        ({"batch_size": 7.5}, r"`batch_size` must be an integer >= 1\. Received: batch_size=7.5"),
        ({"seed": -1}, r"`seed` must be an integer >= 0\. Received: seed=-1"),
        ({"vary": "x"}, r"`vary` must be one of 'shuffle', 'init', 'both'\. Received: vary='x'"),
        ({"n_jobs": 0}, r"`n_jobs` must be None or an integer other than 0"),
        ({"build_model": build_uncompiled}, r"must return a compiled model\. Received: 'bare' without optimizer"),
        (
            {"x": np.ones((3, 4)), "y": np.arange(2)},
            r"`x` and `y` must have the same number of samples.*\(3, 4\), \(2,\)",
        ),
        ({"x": np.ones((0, 4)), "y": np.ones(0)}, r"must have the same number of samples, at least one"),
        ({"x": lambda seed: None, "y": np.arange(2)}, r"`y` must be left out where `x` is a function"),
        ({"x": lambda seed: None, "batch_size": 4}, r"`batch_size` has no meaning where `x` is a function"),
        ({"validation_split": 1.0}, r"must leave samples on both sides\. Received: validation_split=1.0 with 8"),
        ({"validation_data": (np.ones((3, 4)), np.ones(2))}, r"`validation_data` must have the same number of samples"),
        ({"shuffle": False}, r"shuffle=False and vary='shuffle' contradict each other"),
        ({"shuffle": "batch"}, r"`shuffle` must be True or False\. Received: shuffle='batch'"),
        ({"steps_per_epoch": 3}, r"`steps_per_epoch` has no meaning with arrays"),
        ({"epoch": 3}, r"`epoch` is none of `study`"),
        ({"detector": {"on_stuck": "raise"}}, r"`detector` must be one of 'probe_data', 'false_alarm', 'margin'"),
        ({"build_model": build_nothing_new}, r"must return a new model each time.*Build and compile it inside"),
        ({"detector": {"margin": 7.0}}, r"`margin` must"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_trained(arguments, message):
    """The message names the argument and what was received."""
    with pytest.raises(ValueError, match=message):
        refused(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"build_model": build_uncompiled()}, r"`build_model` must be a function that returns a compiled model"),
        ({"build_model": list}, r"`build_model` must return a keras.Model\. Received: list"),
        ({"x": (i for i in ()), "y": None}, r"`x` must be arrays.*Received: generator, whose order a study cannot set"),
        ({"detector": 3}, r"`detector` must be a dict of arguments of StuckDetector\. Received: 3"),
        ({"callbacks": [3]}, r"`callbacks` must be a list of Keras callbacks, or a function .*Received: 3"),
        ({"callbacks": [keras.callbacks.LambdaCallback(threading.Lock().release)]}, r"`callbacks` cannot be sent to "),
    ],
)
def test_what_is_no_model_or_no_data_is_refused(arguments, message):
    """Before anything is trained."""
    with pytest.raises(TypeError, match=message):
        refused(**arguments)


def test_a_place_that_cannot_be_written_to_is_refused(tmp_path):
    """A missing folder, a folder, and a file that is something else and stays."""
    with pytest.raises(FileNotFoundError, match="missing"):
        refused(save_to=tmp_path / "missing" / "study.json")
    with pytest.raises(IsADirectoryError):
        refused(save_to=tmp_path)
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"mine": 1}))
    with pytest.raises(ValueError, match=r"other\.json is no saved study"):
        refused(save_to=other)
    assert json.loads(other.read_text()) == {"mine": 1}


def test_a_builder_that_always_raises_is_no_builder():
    """Its own exception, with a note."""

    def build():
        raise KeyError("no such layer")

    with pytest.raises(KeyError, match="no such layer") as caught:
        refused(build, vary="init")
    assert caught.value.__notes__ == ["build_model raised this before anything was trained."]


def test_nothing_of_this_process_changes_when_the_builder_is_checked(tmp_path):
    """The random state is given back."""
    keras.utils.set_random_seed(3)
    expected = np.random.random()
    keras.utils.set_random_seed(3)
    with pytest.raises(IsADirectoryError):
        refused(save_to=tmp_path)
    assert np.random.random() == expected


class FakeDispatcher:
    """Instead of processes: outcomes that a test wants."""

    outcomes: tuple = ()

    def __init__(self, *arguments):
        pass

    def __call__(self, tasks):
        for key in range(len(tasks)):
            outcome = self.outcomes[key]
            if isinstance(outcome, BaseException):
                raise outcome
            yield key, outcome


@pytest.fixture
def fake(monkeypatch):
    """Sets the outcomes."""
    monkeypatch.setattr(sys.modules["keras_clr.study.study"], "Dispatcher", FakeDispatcher)

    def outcomes(*wanted):
        monkeypatch.setattr(FakeDispatcher, "outcomes", wanted)

    return outcomes


DONE = {"curves": {"loss": [1.0]}, "stuck_epoch": None, "diagnosis": None, "initial_state": "a", "seconds": 1.0}


def test_failed_runs_are_reported_and_tried_again(fake, tmp_path):
    """The others are kept; so is everything else about them."""
    path = tmp_path / "study.json"
    fake(DONE, {"error": "Traceback\nValueError: no luck\n"}, {"died": "TerminatedWorkerError: killed"})
    first = refused(runs=3, save_to=path)
    assert [run.status for run in first.runs] == ["finished", "error", "died"]
    assert "1 raised an error; run 1: ValueError: no luck" in str(first)
    assert "1 died; run 2: TerminatedWorkerError: killed" in str(first)
    assert first.stuck_share.total == 1
    fake(DONE, DONE)
    second = refused(runs=3, save_to=path)
    assert [(run.index, run.status) for run in second.runs] == [(0, "finished"), (1, "finished"), (2, "finished")]


def test_after_ctrl_c_the_runs_so_far_are_there(fake, tmp_path):
    """In the file, and with the exception."""
    path = tmp_path / "study.json"
    fake(DONE, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt) as caught:
        refused(save_to=path)
    assert [run.index for run in caught.value.study.runs] == [0]
    assert Study.load(path) == caught.value.study


# `pytest.warns` gives it again as if it came from here, where the filter for Keras' own does not reach.
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_a_builder_that_does_not_do_as_vary_says_is_warned_about(fake):
    """Weights that differ where they should not, and the other way round."""
    fake(DONE, {**DONE, "initial_state": "b"})
    with pytest.warns(keras_clr.KerasCLRWarning, match="The initial weights differ, though vary='shuffle'"):
        refused()
    fake(DONE, DONE)
    with pytest.warns(keras_clr.KerasCLRWarning, match="are the same in all runs, though vary='both'"):
        refused(vary="both")
    assert refused().remarks() == ()


def test_the_progress_bar_counts_runs(fake, capsys):
    """One bar; none with verbose=0."""
    fake(DONE, DONE)
    refused(verbose=1)
    assert "2/2" in capsys.readouterr().out
    refused()
    assert capsys.readouterr().out == ""
