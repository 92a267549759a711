"""Tests of `examples/pixel_colour.py`: what it makes, measures, writes, and refuses."""

import builtins
import contextlib
import errno
import importlib.util
import json
import math
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import keras
import numpy as np
import pytest

fisher_exact = pytest.importorskip("scipy.stats", reason="the experiment needs the extra `study`").fisher_exact

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import _pixel_images as images_module  # noqa: E402
import _pixel_network as network  # noqa: E402
import _pixel_page as page  # noqa: E402
import _pixel_report as report  # noqa: E402
import _pixel_rows as rows_module  # noqa: E402
import _pixel_words as words  # noqa: E402
import pixel_colour  # noqa: E402
from _pixel_images import Batches, PixelImages  # noqa: E402
from _pixel_rows import ROWS, Bench, Decay, Measured  # noqa: E402

import keras_clr  # noqa: E402
from keras_clr.stuck.diagnosis import Diagnosis  # noqa: E402
from keras_clr.stuck.finding import Finding  # noqa: E402
from keras_clr.stuck.state import State  # noqa: E402
from keras_clr.study.plan import plan_run  # noqa: E402
from keras_clr.study.run import Run  # noqa: E402
from keras_clr.study.statistics import exact_interval  # noqa: E402

# As small as the program can be. The inputs are so large that the clipped network starts beyond the clip.
TINY = replace(
    network.QUICK, size=4, training_images=32, validation_images=16, chunk=16, batch_size=16, input_range=5e4
)
# Two convolutions take four pixels.
SMALL = replace(TINY, size=6, input_range=3.0)
BENCH = Bench(SMALL, "grey", epochs=3, seed=1)
MEASURED = Measured((0.125, 0.25), (1.5, 32.2), None, 0.5)
HOSTILE = '<script>alert("1 & 2")</script>'


def as_float(value):
    return float(keras.ops.convert_to_numpy(value))


# Studies that nobody ran


def run(index=0, val_accuracy=(0.5, 0.5), stuck_epoch=None, error="", code="saturated-clipped-loss"):
    """A run as a study keeps it; frozen if `stuck_epoch` is given, failed with an error."""
    diagnosis = Diagnosis(State.LEARNING, evidence={"epoch": 1})
    if stuck_epoch is not None:
        finding = Finding(code, "It is so.", {}, "certificate", (), "Change it.", f"docs/why-stuck.md#{code}")
        diagnosis = Diagnosis(State.FROZEN, (finding,), evidence={"epoch": stuck_epoch})
    curves = {name: tuple(val_accuracy) for name in ("accuracy", "val_accuracy")}
    curves |= {name: (8.059,) * len(val_accuracy) for name in ("loss", "val_loss")}
    if error:
        return Run(index, 0, index, "error", error=error)
    return Run(
        index, 0, index, "finished", {**curves, "peak_memory_gb": (0.25, 0.5)}, stuck_epoch, diagnosis, seconds=2.0
    )


def study_of(learned=0, frozen=0, other=0, failed=0, error="ValueError: no"):
    """A study with so many runs that end at 97 %, are frozen at 50 %, end at 70 %, have failed."""
    made = [run(val_accuracy=(0.5, 0.97)) for _ in range(learned)]
    made += [run(stuck_epoch=1) for _ in range(frozen)]
    made += [run(val_accuracy=(0.5, 0.7)) for _ in range(other)]
    made += [run(error=f"Traceback\n  line\n{error}\n") for _ in range(failed)]
    return keras_clr.Study(
        {"vary": "shuffle"}, tuple(replace(one, index=index, order_seed=index) for index, one in enumerate(made))
    )


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    """What the program sets for itself and its workers ends with the test."""
    for name in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS"):
        if name in os.environ:
            monkeypatch.setenv(name, os.environ[name])
        else:
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)


@pytest.fixture
def canned(monkeypatch):
    """Makes the program take its studies from a dict, or call what is there; returns it and what was asked."""
    studies, asked = {}, []

    def run_row(bench, row, measured, **arguments):
        (name,) = (name for name, known in ROWS.items() if known == row)
        asked.append({"name": name, "bench": bench, **arguments})
        study = studies.get(name, study_of(learned=1))
        return study() if callable(study) else study

    monkeypatch.setattr(rows_module, "run_row", run_row)
    monkeypatch.setattr(rows_module, "measure_elsewhere", lambda bench, rows, n_jobs: iter([MEASURED] * len(rows)))
    return studies, asked


def main(folder, *arguments):
    """Runs the program in this process."""
    return pixel_colour.main(["--backend", keras.backend.backend(), "--out", str(folder), *map(str, arguments)])


def on_one_line(text):
    return " ".join(text.split())


def printed(folder, studies, epochs=2):
    """What the report prints for these rows, and the data behind it."""
    made = report.Report(folder)
    names = ["--rows", *studies]
    options = pixel_colour.parse([*names, "--epochs", str(epochs), "--out", str(folder)])
    made.begin(options, Bench(network.QUICK, "grey", epochs, 0))
    for name, study in studies.items():
        made.add(name, MEASURED, study)
    text = made.finish(complete=True)
    return text, json.loads((folder / "results.json").read_text())


# Real runs


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """One whole run of the program: what it printed, the folder, and what is in the file."""
    folder = tmp_path_factory.mktemp("out") / "new" / "folder"
    with pytest.MonkeyPatch.context() as patch:
        for name in ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS"):
            patch.setenv(name, os.environ.get(name, ""))
        patch.setattr(network, "QUICK", TINY)
        texts = []
        patch.setattr("builtins.print", lambda *a, **k: texts.append((k.get("file", sys.stdout), " ".join(a))))
        code = main(folder, "--runs", 2, "--epochs", 3, "--rows", "logits", "question", "--jobs", 1)
    assert code == 0
    return texts, folder, json.loads((folder / "results.json").read_text())


@pytest.fixture(scope="module")
def as_program(tmp_path_factory):
    """The program as somebody starts it, with one run of one row."""
    folder = tmp_path_factory.mktemp("program")
    command = [sys.executable, str(EXAMPLES / "pixel_colour.py"), "--runs", "1", "--epochs", "1", "--rows", "fixed"]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [*command, "--backend", keras.backend.backend()],
        cwd=folder,
        env={**environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, folder / "pixel_colour_results"


def test_results_file(outcome):
    """The file has versions, settings, and each run's curves and verdict; shares and table come from the runs."""
    _, folder, data = outcome
    assert sorted(path.name for path in folder.iterdir()) == [
        "results.html",
        "results.json",
        "results.png",
        "studies",
    ]
    assert (folder / "results.png").read_bytes().startswith(b"\x89PNG")
    assert data["complete"] is True
    assert data["versions"].keys() == {"python", "keras", "numpy", "keras_clr", keras.backend.backend()}
    assert data["options"]["runs"] == 2
    assert data["setting"]["step_size"] == TINY.step_size
    assert data["setting"]["steps_per_epoch"] == 2
    assert list(data["rows"]) == ["question", "logits"]
    for memory in data["peak_memory_gb"].values():
        assert memory is None or 0.1 < memory < 10
    for name, row in data["rows"].items():
        study = keras_clr.Study.load(*(folder / "studies").glob(f"{name}-quick-{keras.backend.backend()}-*"))
        assert [run["order_seed"] for run in row["curves"]] == [run.order_seed for run in study.runs]
        assert len({run.initial_state for run in study.runs}) == 1
        assert len(row["rate_curve"]["learning_rate"]) == 6
        assert row["rates"] == [TINY.base_lr, TINY.max_lr]
        for curve in row["curves"]:
            assert all(len(curve[key]) == 3 for key in ("accuracy", "loss", "val_accuracy", "val_loss"))
        assert row["frozen_interval_95"] == list(study.stuck_share.interval)


def test_table_and_explanation(outcome):
    """What the file says of a row is its line in the table; of a saturated network, the detector's own sentence."""
    texts, folder, data = outcome
    stdout = "\n".join(text for file, text in texts if file is sys.stdout)
    # Of the lines that begin with a word, the first: the table comes before the explanation.
    lines = {line.split()[0]: line.split() for line in reversed(stdout.splitlines()) if line.strip()}
    frozen = {name: row["frozen"] for name, row in data["rows"].items()}
    assert frozen["question"] in (1, 2)
    assert frozen["logits"] == 0
    assert data["rows"]["question"]["causes"] == {"saturated-clipped-loss": frozen["question"]}
    low, high = exact_interval(frozen["question"], 2)
    assert lines["question"][:5] == ["question", f"{frozen['question']}/2", f"{low:.0%}", "to", f"{high:.0%}"]
    assert lines["logits"][1] == "0/2"
    study = keras_clr.Study.load(*(folder / "studies").glob("question-*"))
    first = next(run for run in study.runs if run.is_stuck)
    assert first.diagnosis.findings[0].sentence in on_one_line(stdout)
    assert f"Written: {folder / 'results.json'}" in on_one_line(stdout)
    progress = "\n".join(text for file, text in texts if file is sys.stderr)
    assert progress.startswith(
        f"[1/2] question ...\n{frozen['question']} of 2 frozen, 0 of 2 learned\n[2/2] logits ...\n0 of 2 frozen, "
    )


def test_runs_differ_by_their_order(outcome):
    """Two orders give two courses of training."""
    first, second = outcome[2]["rows"]["logits"]["curves"]
    assert first["loss"] != second["loss"]


@pytest.fixture
def going_on(outcome, monkeypatch):
    """The folder of the real run, with what it takes to go on without a worker: rates and size."""
    _, folder, data = outcome
    kept = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    monkeypatch.setattr(network, "QUICK", TINY)
    measured = replace(MEASURED, rates=tuple(data["rows"]["question"]["rates"]))
    monkeypatch.setattr(rows_module, "measure_elsewhere", lambda bench, rows, n_jobs: iter([measured] * len(rows)))
    yield folder, data
    for path, content in kept.items():
        path.write_bytes(content)


def test_resume_keeps_finished_runs(going_on, capsys):
    """With --resume and the same options, every run is the one of before, to the second that it took."""
    folder, before = going_on
    assert main(folder, "--resume", "--runs", 2, "--epochs", 3, "--rows", "question", "logits") == 0
    after = json.loads((folder / "results.json").read_text())
    assert {name: row["curves"] for name, row in after["rows"].items()} == {
        name: row["curves"] for name, row in before["rows"].items()
    }
    assert "saturated-clipped-loss" in on_one_line(capsys.readouterr().out)


@pytest.mark.parametrize("damage", ["other settings", "no study"])
def test_resume_of_other_runs_is_refused(damage, going_on, capsys):
    """A file that is not of these runs is named in one line, with what to do, and stays as it is."""
    folder, _ = going_on
    (file,) = (folder / "studies").glob("question-*")
    if damage == "no study":
        file.write_text("{}")
    else:
        data = json.loads(file.read_text())
        file.write_text(json.dumps({**data, "settings": {**data["settings"], "keras": "2.0"}}))
    content = file.read_text()
    assert main(folder, "--resume", "--runs", 2, "--epochs", 3, "--rows", "question") == 1
    out, err = capsys.readouterr()
    assert err.splitlines()[-1].startswith(f"pixel_colour: {file} ")
    assert err.endswith("Without --resume it is made anew.\n")
    assert "Traceback" not in err
    assert out == ""
    assert file.read_text() == content


def test_program(as_program):
    """Started from a shell, it says what it does on stderr, nothing else, and the rest on stdout."""
    done, folder = as_program
    assert re.fullmatch(r"\[1/1\] fixed \.\.\. 0 of 1 frozen, [01] of 1 learned\n", done.stderr)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{report.QUESTION}\n")
    assert {path.name for path in folder.iterdir()} >= {"results.html", "results.json"}
    assert len(json.loads((folder / "results.json").read_text())["rows"]["fixed"]["curves"]) == 1


# The images and the sizes


@pytest.mark.parametrize("background", images_module.BACKGROUNDS)
def test_exactly_one_coloured_pixel(background):
    """Each image has one pixel that is not a shade of grey, in its class's colour; the classes are of equal size."""
    images = PixelImages(50, 6, background, (1, 2))
    pixels, targets = images.take(slice(None))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (50, 6, 6, 3)
    coloured = (pixels != pixels[..., :1]).any(axis=-1)
    assert (coloured.sum(axis=(1, 2)) == 1).all()
    assert targets.sum(axis=0).tolist() == [25.0, 25.0, 0.0]
    assert np.array_equal(images.take(slice(None), 2)[1], targets[:, :2])
    for image, mask, target in zip(pixels, coloured, targets, strict=True):
        assert image[mask].tolist() == [[255, 0, 0] if target[0] else [0, 255, 0]]
    assert len(np.unique(np.argwhere(coloured)[:, 1:], axis=0)) > 15


def test_images_are_the_same_however_they_are_asked_for():
    """Image i is image i, alone or among others, also on a background that is made when asked for."""
    images = PixelImages(20, 5, "noise", (3,))
    pixels, targets = images.take(slice(None))
    some, of_some = images.take(np.array([7, 3]))
    assert np.array_equal(some, pixels[[7, 3]])
    assert np.array_equal(of_some, targets[[7, 3]])
    assert not np.array_equal(pixels, PixelImages(20, 5, "noise", (4,)).take(slice(None))[0])
    assert np.bincount(images.labels[images.balanced(8)]).tolist() == [4, 4]


def epoch(batches):
    """The images of an epoch, and their classes, in order."""
    parts = [batches[i] for i in range(len(batches))]
    batches.on_epoch_end()
    return [image.tobytes() for x, _ in parts for image in x], [int(c) for _, y in parts for c in y.argmax(axis=1)]


def test_batches_are_a_new_order_each_epoch():
    """Every epoch has each image once, in an order of its own that the seed decides; without a seed, as they are."""
    images = PixelImages(20, 5, "noise", (3,))
    everything = [pixels.tobytes() for pixels in images.take(slice(None))[0]]
    one, same = (Batches(images, 8, 3, (5,)) for _ in range(2))
    first, second = epoch(one)[0], epoch(one)[0]
    assert sorted(first) == sorted(second) == sorted(everything)
    assert first != second
    assert [epoch(same)[0], epoch(same)[0]] == [first, second]
    assert epoch(Batches(images, 8, 3, (6,)))[0] != first
    unshuffled = Batches(images, 8, 3)
    assert [len(unshuffled[i][0]) for i in range(3)] == [8, 8, 4]
    assert [epoch(unshuffled)[0], epoch(unshuffled)[0]] == [everything, everything]


@pytest.mark.parametrize(("order", "classes"), [("by class", [0] * 10 + [1] * 10), ("interleaved", [0, 1] * 10)])
def test_orders_without_shuffling(order, classes):
    """Red before green, or in turn: each image once, the same in every epoch; which red is first is up to the seed."""
    images = PixelImages(20, 5, "noise", (3,))
    batches = Batches(images, 8, 2, (5,), order)
    seen, labels = epoch(batches)
    assert labels == classes
    assert sorted(seen) == sorted(pixels.tobytes() for pixels in images.take(slice(None))[0])
    assert epoch(batches) == (seen, labels)
    others, labels = epoch(Batches(images, 8, 2, (6,), order))
    assert labels == classes
    assert others != seen


def test_full_size_has_the_questions_numbers():
    """224 x 224, 1500 + 500 per class, 10 epochs, the learning rates as they were."""
    full = network.FULL
    assert (full.size, full.training_images, full.validation_images, full.epochs) == (224, 2 * 1500, 2 * 500, 10)
    assert (full.base_lr, full.max_lr, full.step_size) == (0.000005, 0.0003, 200.0)
    assert full.batch_size % full.chunk == 0


def test_quick_size_keeps_what_its_text_says():
    """Inputs x rates x places is that of the full size, and so are the cycles in a run and the epochs."""
    full, quick = network.FULL, network.QUICK
    for ends in ("base_lr", "max_lr"):
        products = [s.input_range * getattr(s, ends) * s.size**2 for s in (full, quick)]
        assert math.isclose(*products)
    assert math.isclose(full.steps_per_epoch / full.step_size, quick.steps_per_epoch / quick.step_size)
    assert full.epochs == quick.epochs
    assert quick.training_images == 3 * quick.validation_images


# The rows


def test_rows_are_those_of_the_program():
    """The names that the program takes, before it knows Keras, are those of the rows."""
    assert list(ROWS) == pixel_colour.ROWS
    assert set(pixel_colour.DEFAULT_ROWS) < set(ROWS)
    assert Counter(row.kind for row in ROWS.values()) == {"question": 1, "advice": 11, "cure": 5, "order": 2}


@pytest.mark.parametrize("name", ROWS)
def test_every_row_takes_a_step(name):
    """Each row's model takes its own batches; softmax ends in shares, logits do not; its callbacks can be made."""
    row = ROWS[name]
    rates = BENCH.rates(row, suggested=(0.01, 0.02))
    model = BENCH.build(row, rates[0])
    x, y = BENCH.batches(row, 0)[0]
    assert y.shape[1:] == model.output_shape[1:] == (row.network.units,)
    assert math.isfinite(model.train_on_batch(x, y)[0])
    sums = keras.ops.convert_to_numpy(model(x, training=False)).sum(axis=1)
    assert np.allclose(sums, 1.0, atol=1e-5) is not row.network.logits
    assert all(isinstance(callback, keras.callbacks.Callback) for callback in BENCH.callbacks(row, rates))


def test_rows_change_what_they_say():
    """One change each: layers, dropout, classes, inputs, order, length."""
    kinds = {name: [type(layer).__name__ for layer in BENCH.build(row, 0.1).layers] for name, row in ROWS.items()}
    question = ["Rescaling", "Dense", "Dropout", "Flatten", "Dense", "Reshape"]
    assert kinds["question"] == question
    assert kinds["logits"] == question[:-1]
    assert kinds["augmentation"] == [question[0], "RandomRotation", "RandomZoom", *question[1:]]
    assert kinds["convolutions"] == [question[0], "Conv2D", "Conv2D", *question[1:]]
    assert kinds["pooling"] == ["Rescaling", "Dense", "Dropout", "GlobalMaxPooling2D", "Dense"]
    assert kinds["fixed"] == ["Rescaling", "Conv2D", "GlobalMaxPooling2D", "Dense"]
    rates = {n: BENCH.build(ROWS[n], 0.1).layers[2].rate for n in ("question", "dropout-0.2", "dropout-0.6")}
    assert rates == {"question": 0.4, "dropout-0.2": 0.2, "dropout-0.6": 0.6}
    inputs = BENCH.build(ROWS["centred"], 0.1).layers[0](np.array([0.0, 127.5, 255.0]))
    assert keras.ops.convert_to_numpy(inputs).tolist() == [-1.0, 0.0, 1.0]
    assert {name: row.order for name, row in ROWS.items() if row.order != "shuffled"} == {
        "class-order": "by class",
        "interleaved": "interleaved",
        "logits-class-order": "by class",
        "logits-interleaved": "interleaved",
    }
    assert {name: row.lengthened for name, row in ROWS.items() if row.lengthened > 1} == {
        "20-epochs": 2,
        "30-epochs": 3,
    }


def test_chunks_add_up_to_a_batch():
    """At full size four images at a time are an eighth of an update, but for a network that fits in memory."""
    setting = replace(SMALL, chunk=4, batch_size=32)
    for name, chunk, accumulated in (("question", 4, 8), ("fixed", 32, None)):
        optimizer = ROWS[name].network.build(setting, 0, 0.1).optimizer
        assert ROWS[name].network.chunk(setting) == chunk
        assert optimizer.gradient_accumulation_steps == accumulated


@pytest.mark.parametrize(
    ("name", "full", "quick"),
    [
        ("question", (5e-6, 3e-4), (280 * 5e-6, 280 * 3e-4)),
        ("no-cycling", (1.525e-4,) * 2, (280 * 1.525e-4,) * 2),
        ("decay", (1e-3,) * 2, (0.28,) * 2),
        ("fixed", (1e-3, 1e-2), (1e-3, 1e-2)),
        ("range-test", (0.7, 0.8), (0.7, 0.8)),
    ],
)
def test_rates(name, full, quick):
    """What is advised for the full size is scaled to the small one; a model of its own and a range test are not."""
    for setting, rates in ((network.FULL, full), (network.QUICK, quick)):
        suggested = (0.7, 0.8) if name == "range-test" else None
        assert Bench(setting, "grey", 10, 0).rates(ROWS[name], suggested) == pytest.approx(rates, rel=1e-12)


def test_callbacks_set_the_rates():
    """A cycle between the rates; nothing for a constant one; decay as much in an epoch at either size."""
    (clr,) = BENCH.callbacks(ROWS["question"], (0.1, 0.2))
    assert np.array_equal(clr.simulate(20), keras_clr.CyclicLR(0.1, 0.2, SMALL.step_size).simulate(20))
    assert BENCH.callbacks(ROWS["no-cycling"], (0.1, 0.1)) == []
    for setting in (network.FULL, network.QUICK):
        decay, plateau = Bench(setting, "grey", 10, 0).callbacks(ROWS["decay"], (1e-3, 1e-3))
        assert decay._decay * setting.steps_per_epoch == pytest.approx(0.01 * 94)
        assert (plateau.monitor, plateau.factor, plateau.patience) == ("val_loss", 0.2, 5)
        assert plateau.min_lr == pytest.approx(1e-5 * setting.rate_factor)


@pytest.mark.parametrize("accumulated", [None, 2])
def test_decay(accumulated):
    """In update k the rate / (1 + decay k), and a fifth of it from the epoch after which the loss was on a plateau."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5, gradient_accumulation_steps=accumulated), "mse")
    seen = []

    def note(batch, logs):
        seen.append(as_float(model.optimizer.learning_rate))

    plateau = keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.2, patience=1, min_delta=1e9, min_lr=1e-6)
    # With zeros everywhere, the loss is on a plateau after the second epoch of four batches.
    callbacks = [Decay(0.1), keras.callbacks.LambdaCallback(on_train_batch_begin=note), plateau]
    model.fit(np.zeros((8, 2)), np.zeros((8, 1)), batch_size=2, epochs=3, verbose=0, callbacks=callbacks)
    updates = [k // (accumulated or 1) for k in range(12)]
    reduced = [1.0] * 8 + [0.2] * 4
    assert seen == pytest.approx([f * 0.5 / (1 + 0.1 * k) for f, k in zip(reduced, updates, strict=True)], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "epochs", "rates"),
    [
        ("no-cycling", [0.0, 3.0], [0.25, 0.25]),
        ("decay", [1.0, 2.0], [0.2, 0.1]),
        ("question", [0.0, 0.5, 1.0, 1.5, 2.0, 2.5], None),
        ("20-epochs", [step / 2 for step in range(12)], None),
    ],
)
def test_rate_curve(name, epochs, rates):
    """The rate over the epochs: set beforehand, or as Keras kept it."""
    kept = replace(run(), curves={**run().curves, "learning_rate": (0.2, 0.1)})
    curve = BENCH.rate_curve(ROWS[name], (0.25, 0.25), keras_clr.Study({}, (kept,)))
    assert curve["epoch"] == epochs
    assert curve["learning_rate"] == (rates or [0.25] * len(epochs))
    assert BENCH.rate_curve(ROWS["decay"], (0.25, 0.25), study_of(failed=1)) == {"epoch": [], "learning_rate": []}


def test_a_row_is_a_study(monkeypatch):
    """What varies is the shuffle; the detector gets as many of one class as of the other; the row decides the rest."""
    asked = {}
    monkeypatch.setattr(keras_clr, "study", lambda build, data, **arguments: asked.update(arguments, x=data, b=build))
    rows_module.run_row(BENCH, ROWS["30-epochs"], MEASURED, runs=7, save_to="file")
    assert {name: asked[name] for name in ("seed", "vary", "epochs", "runs", "save_to")} == {
        "seed": 1,
        "vary": "shuffle",
        "epochs": 9,
        "runs": 7,
        "save_to": "file",
    }
    x, y = asked["detector"]["probe_data"]
    assert len(x) == 32
    assert y.sum(axis=0).tolist() == [16.0, 16.0, 0.0]
    cycle, memory = asked["callbacks"]()
    assert np.array_equal(cycle.simulate(20), keras_clr.CyclicLR(*MEASURED.rates, SMALL.step_size).simulate(20))
    logs = {}
    memory.on_epoch_end(0, logs)
    assert logs == {} if rows_module.peak_memory() is None else 0.05 < logs["peak_memory_gb"] < 20
    assert len(epoch(asked["x"](3))[0]) == 32
    assert len(epoch(asked["validation_data"])[0]) == 16
    assert as_float(asked["b"]().optimizer.learning_rate) == pytest.approx(MEASURED.rates[0])


# The two ways to compute the loss, and how far a step goes


@pytest.mark.parametrize("name", ["question", "logits"])
def test_only_the_clipped_loss_has_no_gradient_once_saturated(name):
    """From saturated weights, a step changes not one bit of the clipped network, and moves the one with logits."""
    model = Bench(TINY, "grey", 1, 1).build(ROWS[name], TINY.base_lr)
    head = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Dense))
    head.set_weights([np.zeros(head.kernel.shape), np.array([200.0, 0.0, 0.0])])
    before = [w.tobytes() for w in model.get_weights()]
    images = PixelImages(32, TINY.size, "grey", (1,))
    x, y = images.take(slice(None))
    loss = float(model.train_on_batch(x, y)[0])
    unchanged = [w.tobytes() for w in model.get_weights()] == before
    assert unchanged is (name == "question")
    assert math.isclose(loss, 8.059 if name == "question" else 100.0, rel_tol=1e-4)


def test_rows_start_from_the_same_weights():
    """The two that are to differ in the loss alone have the same initial weights, dropout seed included."""

    def variables(name):
        keras.utils.set_random_seed(1)
        return [keras.ops.convert_to_numpy(v.value) for v in BENCH.build(ROWS[name], 0.1).variables]

    for a, b in zip(variables("question"), variables("logits"), strict=True):
        assert np.array_equal(a, b)


def test_logit_move_is_what_an_update_does():
    """With inputs that Adam's first step must follow exactly, the measured move is the rate times their sum."""
    setting = replace(TINY, input_range=100.0)
    model = ROWS["logits"].network.build(setting, 1, 1e-3)
    dense, _, _, head = model.layers[1:]
    dense.trainable = False
    dense.set_weights([np.full(dense.kernel.shape, 1 / 3), np.zeros(112)])
    head.set_weights([np.zeros(head.kernel.shape), np.zeros(3)])
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, metrics=["accuracy"])
    images = PixelImages(16, setting.size, "grey", (1,))
    # 16 places, of which one is coloured, of 112 equal features.
    features = 112 * (15 * 128 + 255 / 3) / 255 * setting.input_range
    assert math.isclose(network.measure_logit_move(model, images, setting, 16), 1e-3 * (features + 1), rel_tol=0.02)


@pytest.mark.parametrize("scaled_to", [1e-6, 1e6])
def test_extreme_input_range(scaled_to):
    """At the limits of --input-range, logits and first update are still finite."""
    setting = replace(TINY, input_range=scaled_to * 2.8)
    model = ROWS["logits"].network.build(setting, 1, setting.max_lr)
    move = network.measure_logit_move(model, PixelImages(16, setting.size, "white", (1,)), setting, 16)
    assert math.isfinite(move)
    assert move > 0


def test_largest_seed():
    """The largest seed that is not refused works everywhere: in images, weights, dropout and orders."""
    measured = rows_module.measure(Bench(SMALL, "noise", 1, 2**31 - 1), ROWS["augmentation"])
    assert all(map(math.isfinite, measured.logit_moves))


def test_measure():
    """From the weights that a run starts from, one update at the lowest rate and one at the highest."""
    measured = rows_module.measure(BENCH, ROWS["question"])
    assert measured.rates == (SMALL.base_lr, SMALL.max_lr)
    assert measured.curve is None
    for rate, move in zip(measured.rates, measured.logit_moves, strict=True):
        keras.utils.set_random_seed(plan_run(0, "shuffle", BENCH.seed).init_seed)
        model = BENCH.build(ROWS["question"], rate)
        expected = network.measure_logit_move(model, BENCH.images(True), SMALL, 16)
        assert move == pytest.approx(expected, rel=1e-4)
    assert measured.logit_moves[0] < measured.logit_moves[1]


@pytest.fixture(scope="module")
def range_test():
    """The row whose rates are measured."""
    return rows_module.measure(replace(BENCH, setting=replace(SMALL, training_images=160)), ROWS["range-test"])


def test_measure_with_a_range_test(range_test):
    """The rates are those that the curve suggests."""
    assert len(range_test.curve.rates) > 20
    assert range_test.rates == range_test.curve.suggest_bounds()
    assert 0 < range_test.rates[0] < range_test.rates[1]


def test_a_row_that_cannot_be_measured(monkeypatch):
    """Where a worker ends without an answer, the row is named with what the worker said."""

    class Broken:
        def __init__(self, *arguments):
            pass

        def __call__(self, tasks):
            return iter([(0, {"error": "MemoryError: too large"})])

    monkeypatch.setattr(rows_module, "Dispatcher", Broken)
    with pytest.raises(RuntimeError, match=r"Cannot measure the row 'the question's network; .*too large"):
        list(rows_module.measure_elsewhere(BENCH, [ROWS["question"]], 1))


# What is found in studies


def test_summary():
    """Counts, intervals and medians of the runs that have a result; the failed ones are counted apart."""
    runs = (
        run(0, (0.96, 0.97)),
        run(1, (0.5, 0.95)),
        run(2, (0.96, 0.5), stuck_epoch=1),
        run(3, (0.5, 0.5), stuck_epoch=0, code="dead-relu"),
        run(4, (0.5, 0.7)),
        run(5, error="ValueError: no"),
    )
    summary = report.summarise(keras_clr.Study({}, runs))
    assert {name: value for name, value in summary.items() if "interval" not in name and name != "curves"} == {
        "runs": 5,
        "failed": 1,
        "frozen": 2,
        "causes": {"saturated-clipped-loss": 1, "dead-relu": 1},
        "learned": 2,
        "frozen_after_reaching_95": 1,
        "median_val_accuracy_of_others": 0.95,
        "lowest_val_accuracy_of_others": 0.7,
        "median_epochs_to_95": 2,
    }
    assert summary["frozen_interval_95"] == summary["learned_interval_95"] == pytest.approx([0.0527, 0.8534], abs=1e-4)
    assert [curve["frozen_epoch"] for curve in summary["curves"]] == [None, None, 2, 1, None]
    assert summary["curves"][0]["val_accuracy"] == [0.96, 0.97]
    assert summary["curves"][0]["peak_memory_gb"] == 0.5


def test_learned_is_what_keras_calls_95_percent():
    """190 of 200 right is 95 %, also as the float32 a little below that a metric returns; 189 is not."""
    metric = keras.metrics.Accuracy()
    for right, learned, median in ((190, 1, 2), (189, 0, None)):
        metric.reset_state()
        metric.update_state(np.arange(200) < 200, np.arange(200) < right)
        summary = report.summarise(keras_clr.Study({}, (run(0, (0.5, float(metric.result()))),)))
        assert (summary["learned"], summary["median_epochs_to_95"]) == (learned, median)


@pytest.mark.parametrize(
    ("row", "question", "verdict"),
    [
        ((10, 0), (2, 8), "better"),
        ((2, 8), (10, 0), "worse"),
        ((3, 0), (2, 8), "freezes less"),
        ((2, 8), (3, 0), "freezes more"),
        ((6, 4), (4, 6), "no difference seen"),
        ((0, 0), (0, 0), "no difference seen"),
    ],
)
def test_verdict(row, question, verdict):
    """Fisher's exact test at 0.05 on the share that learned, then on the share that froze, of ten runs each."""
    (learned, frozen), (before, frozen_before) = row, question
    studies = [study_of(a, b, other=10 - a - b) for a, b in (row, question)]
    compared = report.compare(*studies)
    assert compared["verdict"] == verdict
    pairs = (learned, before), (frozen, frozen_before)
    expected = [fisher_exact([[a, 10 - a], [b, 10 - b]]).pvalue for a, b in pairs]
    assert [compared["p_learned"], compared["p_frozen"]] == pytest.approx(expected)


def test_row_without_a_result(tmp_path):
    """A row whose runs all failed is counted, compared with nothing, and its error is told."""
    text, data = printed(
        tmp_path, {"question": study_of(learned=2), "logits": study_of(failed=3, error="OSError: 'x'")}
    )
    line = next(line for line in text.splitlines() if line.startswith("logits "))
    assert line.split() == ["logits", "0/0", "0%", "to", "100%", "0/0", "0%", "to", "100%", "-", "1.5", "to", "32.2"]
    assert "verdict" not in data["rows"]["logits"]
    assert "p_learned" not in data["rows"]["logits"]
    assert "Without a result: 3 runs of 'logits' (OSError: 'x')" in on_one_line(text)
    assert "What the loss alone changes" not in text


def test_only_failed_runs(tmp_path):
    """Where nothing has a result there is still a report, with a picture of nothing."""
    text, data = printed(tmp_path, {"question": study_of(failed=1)})
    assert "Without a result: 1 run of 'question' (ValueError: no)" in on_one_line(text)
    assert "Why runs freeze" not in text
    assert data["rows"]["question"]["runs"] == 0
    assert (tmp_path / "results.html").exists()


def test_numbers_that_json_does_not_have(tmp_path):
    """A loss that became NaN is written as a string."""
    diverged = replace(run(stuck_epoch=0), status="nan", curves={**run().curves, "loss": (1.0, math.nan)})
    _, data = printed(tmp_path, {"question": keras_clr.Study({}, (diverged,))})
    assert data["rows"]["question"]["curves"][0]["loss"] == [1.0, "nan"]


# The words


def test_words_of_frozen_runs(tmp_path):
    """The share, the losses, the detector's sentence, and how far a step goes."""
    text = on_one_line(printed(tmp_path, {"question": study_of(learned=3, frozen=2)})[0])
    assert text.startswith("The question: why does the same network learn in some shuffles of its images only?")
    assert "Why runs freeze: 2 of 5 runs of 'question' ended at a validation accuracy of 0.5" in text
    assert "a validation loss of 8.059 (0.5 x 16.118 = 8.059)." in text
    assert "StuckDetector on run 4, after epoch 2 (certificate, saturated-clipped-loss): It is so." in text
    assert "one Adam update moves a logit by about 1.5 at base_lr and 32.2 at max_lr" in text
    assert "Near max_lr a single step is about 2 times that" in text


def test_words_where_nothing_froze(tmp_path):
    """No cause is told where there was no case; runs near 50 % without a verdict are mentioned."""
    study = keras_clr.Study({}, (run(0, (0.5, 0.505)), run(1, (0.5, 0.97))))
    text = on_one_line(printed(tmp_path, {"question": study})[0])
    assert "Why runs freeze: 0 of 2 runs of 'question' did here. 1 more ended near 50 % without a verdict." in text
    assert "Near max_lr a single step" not in text
    assert "It is so" not in text


def test_runs_that_froze_after_learning(tmp_path):
    """A frozen run that had 95 % in float32 is counted among those that had reached it."""
    runs = [run(i, (value, 0.5), stuck_epoch=1) for i, value in enumerate((float(np.float32(0.95)), 0.97, 0.945))]
    text = on_one_line(printed(tmp_path, {"question": keras_clr.Study({}, tuple(runs))})[0])
    assert "Of the frozen ones, 2 had reached 95 % before." in text


def test_one_of_each_is_singular(tmp_path):
    """One epoch, one run, one batch are called so; the small size has 19 batches in an epoch."""
    assert [words.plural(n, "batch", "batches") for n in (0, 1, 2)] == ["0 batches", "1 batch", "2 batches"]
    one = keras_clr.Study({}, (run(0, (1.0,)),))
    text = on_one_line(printed(tmp_path, dict.fromkeys(("question", "logits", "fixed"), one), epochs=1)[0])
    assert "1 epoch of 19 batches" in text
    assert "0 of 1 run of 'question'" in text
    assert "('fixed'): 1 of 1 run ended at 95 % or more (median: 1 epoch to get there), 0 froze; " in text
    assert not re.search(r"\b1 (epochs|runs|batches)\b", text)


def test_words_compare_with_the_question(tmp_path):
    """Advice, orders and cures each have their verdict with the counts behind it."""
    studies = {
        "question": study_of(learned=2, frozen=8),
        "class-order": study_of(frozen=10),
        "no-cycling": study_of(learned=3, frozen=7),
        "logits": study_of(learned=9, other=1),
        "fixed": study_of(learned=10),
    }
    text, data = printed(tmp_path, studies)
    text = on_one_line(text)
    assert {name: row.get("verdict") for name, row in data["rows"].items()} == {
        "question": None,
        "class-order": "no difference seen",
        "no-cycling": "no difference seen",
        "logits": "better",
        "fixed": "better",
    }
    assert "The advice, against the question's frozen 8 of 10, learned 2 of 10 (Fisher's exact test at 0.05" in text
    assert (
        "No difference seen: class-order (frozen 10 of 10, learned 0 of 10), no-cycling (frozen 7 of 10, learned "
        "3 of 10)." in text
    )
    assert "The cures, against" in text
    assert "Better: logits (frozen 0 of 10, learned 9 of 10), fixed (frozen 0 of 10, learned 10 of 10)." in text
    assert "class-order: 0 of 10 learned, 10 froze (the detector: saturated-clipped-loss)." in text
    assert "9 of 10 runs ended at 95 % or more (median: 2 epochs to get there), 0 froze; lowest validation" in text


def test_words_without_the_question(tmp_path):
    """Without the question's row, nothing is compared with it."""
    text = on_one_line(printed(tmp_path, {"fixed": study_of(learned=2)})[0])
    assert "against the question" not in text
    assert "Why runs freeze" not in text
    assert "How far one step goes" not in text


# The page and the picture


class Tags(HTMLParser):
    """Collects start tags, attributes and text; complains of a tag that is not closed in order."""

    VOID = ("meta", "br", "hr", "img", "link", "input")

    def __init__(self):
        super().__init__()
        self.open, self.seen, self.attributes, self.text = [], Counter(), [], []

    def handle_startendtag(self, tag, attrs):
        self.seen[tag] += 1
        self.attributes += attrs

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(text):
    tags = Tags()
    tags.feed(text)
    tags.close()
    assert tags.open == []
    return tags


HOSTILE_STUDIES = {
    "question": keras_clr.Study({}, (run(0, stuck_epoch=1, code=HOSTILE), run(1, (0.5, 0.97)))),
    "logits": study_of(learned=1, failed=1, error=f"ValueError: {HOSTILE}"),
}


def test_page_stands_alone(tmp_path):
    """Well-formed HTML with drawings in it, no script, and nothing that is fetched from elsewhere."""
    pytest.importorskip("matplotlib")
    printed(tmp_path, HOSTILE_STUDIES)
    text = (tmp_path / "results.html").read_text()
    tags = parsed(text)
    assert text.startswith("<!doctype html>\n")
    assert tags.seen["script"] == tags.seen["link"] == tags.seen["img"] == tags.seen["iframe"] == 0
    assert tags.seen["svg"] >= 1
    assert tags.seen["html"] == tags.seen["body"] == tags.seen["main"] == 1
    assert f"<title>{report.QUESTION}</title>" in text
    assert f"<h1>{report.QUESTION}</h1>" in text
    assert not [name for name, _ in tags.attributes if name.startswith("on")]
    for name, value in tags.attributes:
        if name in ("src", "data") or (name.endswith("href") and not value.startswith("#")):
            # The detector's findings say where the documentation explains them.
            assert re.match(r"(https://[^/]+/.*)?docs/why-stuck\.md", value), (name, value)
        assert not re.search(r"url\(\s*[\"']?http", value or "")
    assert not re.search(r"@import|url\(\s*[\"']?http", text)


def test_hostile_text_is_text(tmp_path):
    """What an error or a finding says is shown, not obeyed, also in the row's name and the picture of a range test."""
    printed(tmp_path, HOSTILE_STUDIES)
    tags = parsed((tmp_path / "results.html").read_text())
    shown = "".join(tags.text)
    assert tags.seen["script"] == 0
    assert f"(ValueError: {HOSTILE})" in shown
    assert f"(certificate, {HOSTILE}): It is so." in shown
    data = json.loads((tmp_path / "results.json").read_text())
    data["rows"] = {HOSTILE: {**data["rows"]["question"], "what": HOSTILE, "verdict": HOSTILE}}
    studies = {HOSTILE: HOSTILE_STUDIES["question"]}
    tags = parsed(page.html_page(data, [HOSTILE, HOSTILE], [HOSTILE], studies, {}, with_pictures=False))
    assert tags.seen["script"] == 0
    assert "".join(tags.text).count(HOSTILE) >= 9


def test_page_has_the_table(tmp_path):
    """Each row of the table is one of the page, with shares, intervals and p-values; the detector's report is there."""
    studies = {"question": study_of(learned=2, frozen=8), "fixed": study_of(learned=10)}
    printed(tmp_path, studies)
    tags = parsed((tmp_path / "results.html").read_text())
    shown = on_one_line(" ".join(tags.text))
    assert "fixed a small convolutional network: one Conv2D, GlobalMaxPooling2D, logits 0 of 10 0% to 31%" in shown
    assert "10 of 10 69% to 100% 2 better p = 0.00071 learned, 0.00071 frozen" in shown
    assert ("class", "better") in tags.attributes
    assert "What StuckDetector says of run 3 of 'question'" in shown
    assert "Change it." in shown


@pytest.mark.parametrize("with_pictures", [True, False])
def test_page_of_a_range_test(with_pictures, range_test, tmp_path):
    """The curve of a range test is drawn, where there is something to draw with."""
    if with_pictures:
        pytest.importorskip("matplotlib")
    _, data = printed(tmp_path, {"range-test": study_of(learned=1)})
    studies, curves = {"range-test": study_of(learned=1)}, {"range-test": range_test.curve}
    tags = parsed(page.html_page(data, ["Title", "text"], [], studies, curves, with_pictures=with_pictures))
    assert ("The range test of 'range-test'" in tags.text) is with_pictures
    assert (tags.seen["svg"] == 2) is with_pictures


def test_without_matplotlib(canned, tmp_path, capsys, monkeypatch):
    """Without matplotlib the program says so in a line, and does everything else."""
    monkeypatch.delitem(sys.modules, "_pixel_picture", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    (tmp_path / "results.png").write_bytes(b"of an earlier run")
    (tmp_path / "results.html").write_bytes(b"of an earlier run")
    assert main(tmp_path, "--rows", "question") == 0
    assert "No picture: matplotlib is not installed" in on_one_line(capsys.readouterr().out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results.html", "results.json", "studies"]
    tags = parsed((tmp_path / "results.html").read_text())
    assert tags.seen["svg"] == 0
    assert tags.seen["table"] == 2


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn."""
    picture = pytest.importorskip("_pixel_picture")
    made = []

    def kept(**arguments):
        made.append(pytest.importorskip("matplotlib.figure").Figure(**arguments))
        return made[-1]

    monkeypatch.setattr(picture, "Figure", kept)
    return made


@pytest.mark.parametrize(("count", "grid"), [(1, (1, 1)), (5, (1, 5)), (19, (4, 5))])
def test_picture_has_a_place_for_each_row(count, grid, figures, tmp_path):
    """Accuracies above the rate, at most five rows side by side, unused places empty; the title fits in."""
    from _pixel_picture import draw
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    names = list(ROWS)[:count]
    made = report.Report(tmp_path)
    made.begin(pixel_colour.parse(["--rows", *names, "--out", str(tmp_path)]), BENCH)
    for name in names:
        made.add(name, MEASURED, study_of(learned=1, frozen=1))
    draw(json.loads((tmp_path / "results.json").read_text()), tmp_path / "picture")
    assert (tmp_path / "picture").read_bytes().startswith(b"\x89PNG")
    (figure,) = figures
    lines, columns = grid
    axes = np.array(figure.axes).reshape(2 * lines, columns)
    shown = [ax for ax in axes[::2].flat if ax.axison]
    assert [ax.get_title().split(":")[0] for ax in shown] == names
    assert [ax.axison for ax in axes[1::2].flat] == [True] * count + [False] * (lines * columns - count)
    extent = figure._suptitle.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.x1


@pytest.mark.parametrize(
    ("frozen_epochs", "labels"),
    [
        ([None, None], ["not frozen"]),
        ([0], ["frozen; X: StuckDetector says so"]),
        ([0, None], ["not frozen", "frozen; X: StuckDetector says so"]),
    ],
)
def test_picture_of_one_epoch(frozen_epochs, labels):
    """The legend names what is there, and a single epoch is a dot."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    ax = figure.subplots()
    study = keras_clr.Study({}, tuple(run(i, (0.5,), stuck_epoch=at) for i, at in enumerate(frozen_epochs)))
    pytest.importorskip("_pixel_picture")._accuracies(ax, "question", report.summarise(study))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == labels
    assert sum(line.get_marker() == "o" for line in ax.lines) == len(frozen_epochs)


# The program with canned studies


def test_options_reach_the_rows(canned, tmp_path, capsys):
    """Runs, jobs, stopping, size, seed and the file of the runs; rows once each, in the order of the table."""
    _, asked = canned
    options = ["--runs", 4, "--epochs", 3, "--seed", 5, "--jobs", 2, "--background", "noise", "--input-range", 6.6]
    assert main(tmp_path, *options, "--stop-frozen", "--rows", "fixed", "question", "fixed") == 0
    assert [row["name"] for row in asked] == ["question", "fixed"]
    bench = asked[0]["bench"]
    assert (bench.background, bench.epochs, bench.seed, bench.setting.size) == ("noise", 3, 5, 8)
    assert bench.setting.input_range == pytest.approx(2 * network.QUICK.input_range)
    assert (asked[0]["runs"], asked[0]["n_jobs"], asked[0]["stop_frozen"]) == (4, 2, True)
    file = f"question-quick-{keras.backend.backend()}-noise-6.6-3-epochs-seed-5.json"
    assert asked[0]["save_to"] == tmp_path / "studies" / file


@pytest.mark.parametrize(
    ("size", "jobs", "n_jobs"), [("--quick", [], None), ("--full", [], 1), ("--full", ["--jobs", "3"], 3)]
)
def test_jobs(size, jobs, n_jobs, canned, tmp_path, capsys):
    """One run for each core, but one at a time where each takes gigabytes, unless told otherwise."""
    _, asked = canned
    assert main(tmp_path, size, *jobs, "--rows", "fixed") == 0
    assert asked[0]["n_jobs"] == n_jobs
    assert asked[0]["bench"].setting == (network.FULL if size == "--full" else network.QUICK)


@pytest.mark.parametrize("resume", [False, True])
def test_without_resume_runs_are_made_anew(resume, canned, tmp_path, capsys):
    """What an earlier run left of the same row stays with --resume, and goes without; other rows' files stay."""
    studies, asked = canned
    there = []
    studies["fixed"] = lambda: there.append(asked[-1]["save_to"].exists()) or study_of(learned=1)
    assert main(tmp_path, "--rows", "fixed") == 0
    asked[-1]["save_to"].write_text("of before")
    (tmp_path / "studies" / "other.json").write_text("of another row")
    assert main(tmp_path, "--rows", "fixed", *(["--resume"] if resume else [])) == 0
    assert there == [False, resume]
    assert (tmp_path / "studies" / "other.json").exists()


def test_failed_runs_are_told_at_once(canned, tmp_path, capsys):
    """The line of a row says how many of its runs failed."""
    canned[0]["question"] = study_of(learned=1, failed=2)
    assert main(tmp_path, "--rows", "question") == 0
    assert capsys.readouterr().err == "[1/1] question ... 0 of 1 frozen, 1 of 1 learned, 2 runs failed\n"


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard():
    """A process that was started in the background may ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt(study):
    """What `keras_clr.study` does on Ctrl-C."""

    def interrupted():
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt as error:
            error.study = study
            raise

    return interrupted


@pytest.mark.parametrize(
    ("in_hand", "kept", "rows"),
    [
        (study_of(), 2, ["question"]),
        (study_of(failed=1), 2, ["question"]),
        (study_of(learned=1, frozen=2), 5, ["question", "logits"]),
    ],
)
def test_ctrl_c_keeps_finished_runs(in_hand, kept, rows, canned, tmp_path, capsys):
    """A real interrupt in the second row: exit code 130; the first row and the finished runs of the second are kept."""
    canned[0].update(question=study_of(frozen=2), logits=interrupt(in_hand))
    before = signal.getsignal(signal.SIGINT)
    assert main(tmp_path, "--rows", "question", "logits", "fixed") == 130
    assert signal.getsignal(signal.SIGINT) is before
    out, err = capsys.readouterr()
    assert err.endswith(f"[2/3] logits ... Interrupted. Finished runs, which are kept: {kept}\n")
    data = json.loads((tmp_path / "results.json").read_text())
    assert data["complete"] is False
    assert list(data["rows"]) == rows
    assert sum(len(row["curves"]) for row in data["rows"].values()) == kept
    assert "Why runs freeze: 2 of 2 runs" in out
    assert (tmp_path / "results.html").exists()


def test_ctrl_c_before_the_first_run(canned, tmp_path, capsys):
    """With nothing to keep, nothing is written, and an earlier result stays."""
    canned[0]["question"] = interrupt(study_of())
    (tmp_path / "results.html").write_text("of before")
    assert main(tmp_path, "--rows", "question") == 130
    out, err = capsys.readouterr()
    assert err.endswith("Interrupted. Finished runs, which are kept: 0\n")
    assert out == ""
    assert (tmp_path / "results.html").read_text() == "of before"


def test_second_ctrl_c_does_not_hurt_what_is_written(canned, tmp_path, capsys, monkeypatch):
    """While the report is written after an interrupt, another one is not heard."""
    canned[0]["question"] = interrupt(study_of(learned=1))
    explain = report.explain

    def impatient(*arguments):
        signal.raise_signal(signal.SIGINT)
        return explain(*arguments)

    monkeypatch.setattr(report, "explain", impatient)
    assert main(tmp_path, "--rows", "question") == 130
    assert (tmp_path / "results.html").exists()


def test_ctrl_c_that_an_import_swallows(monkeypatch):
    """An interrupt that a bare `except` in a library has thrown away comes after the import."""
    imported = builtins.__import__

    def swallows(name, *arguments):
        if name == "keras":
            with contextlib.suppress(BaseException):
                signal.raise_signal(signal.SIGINT)
        return imported(name, *arguments)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(builtins, "__import__", swallows)
    with pytest.raises(KeyboardInterrupt):
        pixel_colour.import_keras()
    assert signal.getsignal(signal.SIGINT) is before


def test_failed_import_is_told(monkeypatch, capfd):
    """What was printed on stderr during an import that failed is not lost."""
    imported = builtins.__import__

    def fails(name, *arguments):
        if name == "keras":
            os.write(2, b"libfoo.so is missing\n")
            raise ImportError(name)
        return imported(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", fails)
    with pytest.raises(ImportError, match="keras"):
        pixel_colour.import_keras()
    assert capfd.readouterr().err == "libfoo.so is missing\n"


@pytest.mark.parametrize("full_for", [{"results.json"}, {"results.png", "results.html"}])
def test_full_disk(full_for, canned, tmp_path, capsys, monkeypatch):
    """What cannot be written costs neither the table nor the other files: a line for each, exit code 1, no scraps."""
    pytest.importorskip("matplotlib")
    replace_file = os.replace

    def full_disk(source, target):
        if Path(target).name in full_for:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", full_disk)
    assert main(tmp_path, "--rows", "fixed") == 1
    out, err = capsys.readouterr()
    assert "0/1" in out
    for name in ("results.json", "results.png", "results.html"):
        line = f"pixel_colour: cannot write {tmp_path / name}: No space left on device\n"
        assert err.count(line) == (name in full_for)
        assert (tmp_path / name).exists() == (name not in full_for)
        assert (str(tmp_path / name) in on_one_line(out)) == (name not in full_for)
    assert len(list(tmp_path.iterdir())) == 4 - len(full_for)


def test_full_disk_in_the_middle_of_a_row(canned, tmp_path, capsys):
    """Where a row's runs cannot be kept it ends there, in a line and with what the rows before it have shown."""

    def full():
        raise OSError(errno.ENOSPC, "No space left on device")

    canned[0].update(question=study_of(frozen=2), logits=full)
    assert main(tmp_path, "--rows", "question", "logits", "fixed") == 1
    out, err = capsys.readouterr()
    file = f"logits-quick-{keras.backend.backend()}-grey-10-epochs-seed-0.json"
    assert err.endswith(f"\npixel_colour: cannot write {tmp_path / 'studies' / file}: No space left on device\n")
    assert "Why runs freeze: 2 of 2 runs" in out
    data = json.loads((tmp_path / "results.json").read_text())
    assert (data["complete"], list(data["rows"])) == (False, ["question"])


def test_an_error_of_the_program_is_not_hidden(canned, tmp_path, capsys):
    """A ValueError that is not about the file of the runs is raised as it is."""

    def broken():
        raise ValueError("something else")

    canned[0]["question"] = broken
    with pytest.raises(ValueError, match="something else"):
        main(tmp_path, "--rows", "question")


def test_which_rows(tmp_path):
    """Four by default, all with --all."""
    for arguments, rows in (([], pixel_colour.DEFAULT_ROWS), (["--all"], pixel_colour.ROWS)):
        options = pixel_colour.parse([*arguments, "--backend", keras.backend.backend(), "--out", str(tmp_path)])
        assert options.rows == rows


# Bad input


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--runs", "0"], "--runs: must be a whole number >= 1, not '0'"),
        (["--runs", "two"], "--runs: must be a whole number >= 1, not 'two'"),
        (["--jobs", "0"], "--jobs: must be a whole number >= 1, not '0'"),
        (["--seed", "-1"], "--seed: must be a whole number from 0 to 2147483647, not '-1'"),
        (["--seed", "2147483648"], "--seed: must be a whole number from 0 to 2147483647, not '2147483648'"),
        (["--epochs", "1.5"], "--epochs: must be a whole number >= 1, not '1.5'"),
        (["--background", "pink"], "--background: invalid choice: 'pink'"),
        (["--backend", "theano"], "--backend: invalid choice: 'theano'"),
        (["--rows", "nonsense"], "--rows: invalid choice: 'nonsense' (choose from 'question', 'class-order', "),
        (["--rows"], "--rows: expected at least one argument"),
        (["--rows", "fixed", "--all"], "--all: not allowed with argument --rows"),
        (["--input-range", "nan"], "--input-range: must be a number from 1e-6 to 1e6, not 'nan'"),
        (["--input-range", "1e300"], "--input-range: must be a number from 1e-6 to 1e6, not '1e300'"),
        (["--out", ""], "--out: must name a folder, not ''"),
        (["--quick", "--full"], "--full: not allowed with argument --quick"),
        (["--frames", "3"], "unrecognized arguments: --frames 3"),
    ],
)
def test_bad_input(arguments, match, tmp_path, capsys):
    """One line on stderr that names the option and the value, exit code 2, nothing made."""
    with pytest.raises(SystemExit) as stop:
        main(tmp_path / "new", *arguments)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    # Later versions of Python leave out the quotes around the choices.
    assert match.replace("'", "") in err.replace("'", "")
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("jax", "backend 'jax' is not installed: pip install \"keras-clr[jax]\""),
        ("tensorflow", "backend 'tensorflow' is not installed: pip install \"keras-clr[tensorflow-cpu]\""),
        ("joblib", 'joblib is not installed: pip install ".[study]" (in the repository\'s top folder)'),
        ("cloudpickle", 'cloudpickle is not installed: pip install ".[study]" (in the repository\'s top folder)'),
    ],
)
def test_something_is_not_installed(missing, message, tmp_path, capsys, monkeypatch):
    """A line that says what to install, exit code 2, nothing made."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else name)
    backend = missing if missing in pixel_colour.BACKENDS else keras.backend.backend()
    with pytest.raises(SystemExit) as stop:
        main(tmp_path / "new", "--backend", backend)
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"pixel_colour: {message}\n"
    assert list(tmp_path.iterdir()) == []


def test_backend_of_the_environment_is_checked(tmp_path, capsys, monkeypatch):
    """KERAS_BACKEND is what runs by default, and is named where it makes no sense."""
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(SystemExit) as stop:
        pixel_colour.main(["--out", str(tmp_path / "new")])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "pixel_colour: KERAS_BACKEND is 'theano'; it must be one of tensorflow, jax, torch\n"
    )


def test_unwritable_out(tmp_path, capsys):
    """A folder that cannot be, and a file where the folder should be: a line, exit code 2, the file untouched."""
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(SystemExit) as stop:
            main(out)
        assert stop.value.code == 2
        err = capsys.readouterr().err
        assert f"cannot write to --out {out}: " in err
        assert err.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["results.json", "results.png", "results.html", "studies"])
def test_something_else_where_a_result_goes(name, tmp_path, capsys):
    """A directory with a result's name, or a file with the directory's, is a line and exit code 2; nothing is run."""
    if name == "studies":
        (tmp_path / name).write_text("mine")
    else:
        (tmp_path / name).mkdir()
    with pytest.raises(SystemExit) as stop:
        main(tmp_path)
    assert stop.value.code == 2
    what = "no directory" if name == "studies" else "a directory"
    assert capsys.readouterr().err == f"pixel_colour: cannot write to --out {tmp_path}: {name} is {what} there\n"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_bad_input_ends_before_anything_heavy(tmp_path):
    """Started from a shell, bad input ends it with code 2 before anything heavy is imported."""
    command = [sys.executable, "-X", "importtime", str(EXAMPLES / "pixel_colour.py"), "--runs", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pixel_colour: argument --runs: must be a whole number >= 1, not '0'" in done.stderr
    assert "numpy" not in done.stderr
    assert list(tmp_path.iterdir()) == []
