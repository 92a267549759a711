"""Each recipe of docs/tools.md is run; what the tool has stored is read back, and is what the policy says."""

import contextlib
import copy
import csv
import json
import struct
from pathlib import Path

import keras
import numpy as np
import pytest
from docs.snippets import ROOT, execute, snippets

import keras_clr

pytest.importorskip("wandb", reason="only tox' environment `tools` installs the tools of docs/tools.md")

# The tools' own warnings are theirs.
pytestmark = pytest.mark.filterwarnings(
    "ignore", "error::keras_clr.KerasCLRWarning", "ignore::keras_clr.StuckTrainingWarning"
)
PAGE = ROOT / "docs/tools.md"
BATCHES = 8  # An epoch of the page's data.
READ_BACK = []


@pytest.fixture(scope="module")
def names(request, tmp_path_factory):
    """What the recipe leaves behind that the test is marked with; once for all of its tests, in a folder of its own."""
    with contextlib.chdir(tmp_path_factory.mktemp("recipe")), contextlib.ExitStack() as undo:
        yield execute(PAGE, undo, section=request.param)


def recipe(section):
    """Says which section of the page a test is about."""
    READ_BACK.append(section)
    return pytest.mark.parametrize("names", [section], indirect=True)


def by_policy(epochs=2):
    """Rate and momentum of every batch of the page's cycle, from the arguments alone."""
    clr = keras_clr.CyclicLR(base_lr=0.001, max_lr=0.05, step_size=8, cycle_momentum=True)
    steps = range(epochs * BATCHES)
    return clr.simulate(epochs * BATCHES).tolist(), [clr.policy.momentum(step) for step in steps]


def last_of_epochs(values):
    """Of each epoch, the last batch's."""
    return values[BATCHES - 1 :: BATCHES]


def rows(path):
    """Of a CSVLogger's file."""
    with open(path) as file:
        return list(csv.DictReader(file))


@recipe("CSVLogger")
def test_csv(names):
    """Rate and momentum of each epoch's last batch; the columns of "NA" are Keras' own."""
    rates, momenta = by_policy()
    logged = rows("log.csv")
    assert [float(row["learning_rate"]) for row in logged] == pytest.approx(last_of_epochs(rates))
    assert [float(row["momentum"]) for row in logged] == pytest.approx(last_of_epochs(momenta))
    assert {row["val_loss"] for row in logged} == {row["val_momentum"] for row in logged} == {"NA"}


def events(folder):
    """Tag -> [(step, value), ...] of a folder of TensorBoard."""
    import tensorflow as tf
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    read = EventAccumulator(folder, size_guidance={"tensors": 0})
    read.Reload()
    return {
        tag: [(event.step, tf.make_ndarray(event.tensor_proto).item()) for event in read.Tensors(tag)]
        for tag in read.Tags()["tensors"]
        if tag != "keras"
    }


@recipe("TensorBoard")
def test_tensorboard(names):
    """Scalars of the epochs, scalars of the batches, and the diagnosis as text."""
    rates, momenta = by_policy()
    epochs, batches = events("board/train"), events("board/batches")
    assert [value for _, value in epochs["epoch_learning_rate"]] == pytest.approx(last_of_epochs(rates))
    assert [value for _, value in epochs["epoch_momentum"]] == pytest.approx(last_of_epochs(momenta))
    assert [step for step, _ in batches["learning_rate"]] == list(range(16))
    assert [value for _, value in batches["learning_rate"]] == pytest.approx(rates)
    assert [value for _, value in batches["momentum"]] == pytest.approx(momenta)
    assert batches["diagnosis"] == [(0, names["detector"].diagnosis_.text().encode())]


@recipe("TensorBoard")
def test_a_logger_that_comes_first_sees_less(names):
    """Before `CyclicLR`, TensorBoard has the rate, which it reads itself, and no momentum; CSVLogger has neither."""
    clr = keras_clr.CyclicLR(base_lr=0.001, max_lr=0.05, step_size=8, cycle_momentum=True)
    loggers = [keras.callbacks.TensorBoard("first"), keras.callbacks.CSVLogger("first.csv")]
    names["build"](keras.optimizers.SGD(momentum=0.9)).fit(names["x"], names["y"], verbose=0, callbacks=[*loggers, clr])
    logged = events("first/train")
    assert [value for _, value in logged["epoch_learning_rate"]] == pytest.approx(last_of_epochs(by_policy(1)[0]))
    assert "epoch_momentum" not in logged
    assert not {"learning_rate", "momentum"} & set(rows("first.csv")[0])


@recipe("TensorBoard")
def test_of_a_schedule_the_next_rate_is_logged(names):
    """TensorBoard asks the optimizer after its last step."""
    schedule = keras_clr.CyclicSchedule(base_lr=0.001, max_lr=0.05, step_size=8)
    board = keras.callbacks.TensorBoard("schedule")
    names["build"](keras.optimizers.SGD(schedule)).fit(names["x"], names["y"], verbose=0, callbacks=[board])
    ((_, value),) = events("schedule/train")["epoch_learning_rate"]
    assert value == pytest.approx(schedule.policy(BATCHES))


def offline_run(folder):
    """(rows of the history, summary, tags) of the one offline run of Weights & Biases in `folder`.

    The file is LevelDB's log: blocks of 32 KiB, in them pieces of records, each with checksum, length and kind.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    data, at, piece = path.read_bytes(), 7, b""
    history, summary, tags = [], {}, ()

    def items(message):
        return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in message}

    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        piece += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # A whole record, or the last piece of one.
            record, piece = Record.FromString(piece), b""
            if record.HasField("history"):
                history.append(items(record.history.item))
            elif record.HasField("summary"):
                summary |= items(record.summary.update)
            elif record.HasField("run"):
                tags = tuple(record.run.tags) or tags
    return history, summary, tags


@recipe("Weights & Biases")
def test_wandb(names):
    """Batch by batch the rate of that batch; of the epochs, the momentum, too; the verdict, and the page of HTML."""
    rates, momenta = by_policy()
    names["wandb"].teardown()  # The file may be written a moment after the run has ended.
    history, summary, tags = offline_run(Path.cwd())
    assert [row["batch/learning_rate"] for row in history if "batch/learning_rate" in row] == pytest.approx(rates)
    epochs = [row for row in history if "epoch/epoch" in row]
    assert [row["epoch/learning_rate"] for row in epochs] == pytest.approx(last_of_epochs(rates))
    assert [row["epoch/momentum"] for row in epochs] == pytest.approx(last_of_epochs(momenta))
    assert summary["state"] == names["detector"].diagnosis_.state.value
    assert tags == ()
    (page,) = Path.cwd().glob("wandb/offline-run-*/files/media/html/*.html")
    assert names["detector"].diagnosis_.state.value in page.read_text()


@recipe("MLflow")
def test_mlflow(names):
    """Metrics of the epochs and of the batches, the verdict as a tag, and the page of HTML."""
    client, run_id = names["mlflow"].MlflowClient(), names["run"].info.run_id
    rates, momenta = by_policy()
    assert metric(client, run_id, "learning_rate") == pytest.approx(dict(enumerate(last_of_epochs(rates))))
    assert metric(client, run_id, "momentum") == pytest.approx(dict(enumerate(last_of_epochs(momenta))))
    assert metric(client, run_id, "batch_learning_rate") == pytest.approx(dict(enumerate(rates)))
    assert client.get_run(run_id).data.tags["state"] == names["detector"].diagnosis_.state.value
    assert "<h1>" in names["mlflow"].artifacts.load_text(f"{names['run'].info.artifact_uri}/diagnosis.html")


@pytest.mark.parametrize("found", ["before", "within"])
@recipe("MLflow")
def test_mlflow_autolog(names, found):
    """It logs the rates by itself; but a sweep within the run is taken for the training."""
    mlflow, model = names["mlflow"], names["build"](keras.optimizers.SGD(momentum=0.9))
    if found == "before":
        keras_clr.find_lr(model, names["x"], names["y"], verbose=0)
    mlflow.keras.autolog(log_models=False, silent=True)
    try:
        with mlflow.start_run() as run:
            if found == "within":
                keras_clr.find_lr(model, names["x"], names["y"], verbose=0)
            clr = keras_clr.CyclicLR(base_lr=0.001, max_lr=0.05, step_size=8, cycle_momentum=True)
            model.fit(names["x"], names["y"], epochs=2, verbose=0, callbacks=[clr])
    finally:
        mlflow.keras.autolog(disable=True)
    wanted = {} if found == "within" else dict(enumerate(last_of_epochs(by_policy()[0])))
    assert metric(mlflow.MlflowClient(), run.info.run_id, "learning_rate") == pytest.approx(wanted)


def metric(client, run_id, name):
    """Step -> value."""
    return {entry.step: entry.value for entry in client.get_metric_history(run_id, name)}


@recipe("KerasTuner")
def test_keras_tuner(names):
    """Trials that start from zeros have failed, each with the verdict; the best model comes back with its cycle."""
    trials = names["tuner"].oracle.trials.values()
    failed = {trial.trial_id for trial in trials if trial.hyperparameters.values["initializer"] == "zeros"}
    assert len(trials) == 4
    assert {trial.trial_id: trial.status for trial in trials} == {
        trial.trial_id: "FAILED" if trial.trial_id in failed else "COMPLETED" for trial in trials
    }
    assert all("StuckDetector: frozen" in trial.message for trial in trials if trial.trial_id in failed)
    (best,), (values,) = names["tuner"].get_best_models(), names["tuner"].get_best_hyperparameters()
    schedule = keras.saving.deserialize_keras_object(best.optimizer.get_config()["learning_rate"])
    assert schedule.simulate(9).max() == values["max_lr"]
    # Saved by the tuner at the end of an epoch.
    assert int(best.optimizer.iterations.numpy()) % 6 == 0


@recipe("KerasTuner")
def test_keras_tuner_with_a_measured_rate(names):
    """Each trial has a band of its own, and logs its rates into its copy of what `search` was given."""
    trials = names["measured"].oracle.trials.values()
    assert [trial.status for trial in trials] == ["COMPLETED", "COMPLETED"]
    logged = [float(row["learning_rate"]) for row in rows("trial.csv")]  # The last trial's.
    assert len(logged) == 3
    # Six batches up, six down: the last batches of an epoch are one step below the top, and one above the bottom.
    assert logged[0] == logged[2] > logged[1]
    base_lr, max_lr = np.linalg.solve([[1 / 6, 5 / 6], [5 / 6, 1 / 6]], logged[:2])
    assert max_lr / base_lr == pytest.approx(4)


@recipe("KerasTuner")
def test_callbacks_given_to_search_are_copied(names):
    """Every execution has copies that start at step 0; those that were given have recorded nothing."""
    clr = keras_clr.OneCycleLR(max_lr=0.05)
    detector = keras_clr.StuckDetector((names["x"], names["y"]), on_stuck="raise")
    used = []

    class Plain(names["Measured"]):
        def fit(self, hp, model, x, y, callbacks=(), **options):
            used.extend(callback for callback in callbacks if isinstance(callback, keras_clr.OneCycleLR))
            return model.fit(x, y, callbacks=callbacks, **options)

    tuner = names["keras_tuner"].GridSearch(
        Plain(), "val_accuracy", directory="tuner", project_name="copies", executions_per_trial=2
    )
    tuner.search(names["x"], names["y"], epochs=2, validation_split=0.25, verbose=0, callbacks=[clr, detector])
    assert [trial.status for trial in tuner.oracle.trials.values()] == ["COMPLETED", "COMPLETED"]
    assert [callback.history["lr"] for callback in used] == [pytest.approx(used[0].simulate(12))] * 4
    assert clr.history["step"] == []
    assert detector.diagnosis_ is None


@recipe("Optuna")
def test_optuna(names):
    """Trials that start from zeros are pruned, and their diagnosis can be had back from the store; others are not."""
    trials = names["optuna"].load_study(study_name=names["study"].study_name, storage="sqlite:///optuna.db").trials
    assert len(trials) == 4
    for trial in trials:
        diagnosis = keras_clr.Diagnosis.from_dict(trial.user_attrs["diagnosis"])
        frozen = trial.params["initializer"] == "zeros"
        assert trial.state.name == ("PRUNED" if frozen else "COMPLETE")
        assert (diagnosis.state.value == "frozen") is frozen
        # Six batches an epoch, a rise of eight.
        clr = keras_clr.CyclicLR(base_lr=trial.params["max_lr"] / 10, max_lr=trial.params["max_lr"], step_size=8)
        logged = [seen["learning_rate"] for seen in diagnosis.history]
        assert logged == pytest.approx(clr.simulate(18)[5::6][: len(logged)])


@recipe("scikit-learn")
def test_keras_wrappers(names):
    """The best estimator has the cycle that was searched for, and no fold was lost."""
    search = names["search"]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    best = search.best_estimator_.model_
    schedule = keras.saving.deserialize_keras_object(best.optimizer.get_config()["learning_rate"])
    assert schedule.simulate(9).max() == search.best_params_["model_kwargs"]["max_lr"]
    assert int(best.optimizer.iterations.numpy()) == 3 * BATCHES
    assert names["detector"].diagnosis_.chance.accuracy == pytest.approx(np.bincount(names["y"]).max() / 256)


@recipe("scikit-learn")
def test_keras_wrappers_and_what_freezes(names):
    """A fold that is frozen is a failed fit, also in another process, to which the callbacks are sent."""
    from sklearn.model_selection import cross_validate

    build = names["build"]

    def build_frozen(X, y):  # noqa: N803 -- Keras passes them by these names
        model = build(kernel_initializer="zeros")
        model.compile("sgd", keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
        return model

    estimator = names["SKLearnClassifier"](build_frozen)
    clr = keras_clr.CyclicLR(base_lr=0.001, max_lr=0.05, step_size=8)
    options = {"epochs": 3, "verbose": 0, "callbacks": [clr, names["detector"]]}
    for num_jobs in (1, 2):
        with pytest.raises(ValueError, match=r"(?s)All the 2 fits failed.*StuckDetector: frozen"):
            cross_validate(estimator, names["x"], names["y"], cv=2, params=options, n_jobs=num_jobs)


@recipe("scikit-learn")
def test_keras_wrappers_as_they_are(names):
    """What the page says of Keras' wrappers: `fit_kwargs` are lost by a clone, and logits may be no answer to them."""
    from sklearn.base import clone

    estimator = names["SKLearnClassifier"](names["build_for_sklearn"], fit_kwargs={"callbacks": []})
    assert clone(estimator).fit_kwargs is None

    def build_logits(X, y):  # noqa: N803 -- Keras passes them by these names
        model = names["build"](kernel_initializer="zeros")
        model.compile(keras.optimizers.SGD(0.0), keras.losses.CategoricalCrossentropy(from_logits=True))
        return model

    fitted = names["SKLearnClassifier"](build_logits).fit(names["x"], names["y"], verbose=0)
    with pytest.raises(ValueError, match="contain all zeros"):
        fitted.predict(names["x"])


@recipe("scikeras")
def test_scikeras(names):
    """The best estimator was trained by a callback of its own, with the bound that was searched for."""
    from sklearn.base import clone

    best = names["bounds"].best_estimator_
    assert np.isfinite(names["bounds"].cv_results_["mean_test_score"]).all()
    clr = keras_clr.CyclicLR(base_lr=0.002, max_lr=names["bounds"].best_params_["fit__callbacks__max_lr"], step_size=8)
    assert best.history_["learning_rate"] == pytest.approx(last_of_epochs(clr.simulate(16).tolist()))
    # An estimator that has an instance can be cloned and copied after `fit`.
    used = names["KerasClassifier"](names["build"], verbose=0, callbacks=[copy.deepcopy(clr)]).fit(
        names["x"], names["y"]
    )
    with pytest.raises(TypeError, match="set_params"):
        clone(names["bounds"].estimator).set_params(callbacks=keras_clr.CyclicLR).set_params(callbacks__max_lr=0.1)
    again = clone(used).fit(names["x"], names["y"])
    assert again.history_["learning_rate"] == pytest.approx([clr.simulate(8)[-1]])


def test_each_recipe_is_read_back():
    """No section of the page is without a test."""
    assert {snippet.section for snippet in snippets(PAGE)} == set(READ_BACK)
