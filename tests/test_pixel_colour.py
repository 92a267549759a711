"""Tests of `examples/pixel_colour.py`: what it makes, measures, writes, and refuses."""

import argparse
import errno
import importlib.util
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))

import _pixel_network as network  # noqa: E402
import _pixel_report as report  # noqa: E402
import pixel_colour  # noqa: E402

from keras_clr._snapshot import Snapshot  # noqa: E402

# As small as the program can be. The inputs are so large that the clipped network starts beyond the clip.
TINY = replace(
    network.QUICK, size=4, training_images=32, validation_images=16, chunk=16, batch_size=16, input_range=5e4
)


@pytest.fixture
def tiny(monkeypatch):
    """Makes --quick tiny."""
    monkeypatch.setattr(network, "QUICK", TINY)
    return ["--epochs", "3", "--backend", keras.backend.backend()]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """One whole run of the program: what it printed, the folder, and what is in the file."""
    folder = tmp_path_factory.mktemp("out") / "new" / "folder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "QUICK", TINY)
        texts = []
        patch.setattr("builtins.print", lambda *a, **k: texts.append((k.get("file", sys.stdout), " ".join(a))))
        code = pixel_colour.main(
            ["--runs", "2", "--epochs", "3", "--backend", keras.backend.backend(), "--out", str(folder)]
        )
    assert code == 0
    return texts, folder, json.loads((folder / "results.json").read_text())


# The images and the sizes


@pytest.mark.parametrize("background", network.BACKGROUNDS)
def test_exactly_one_coloured_pixel(background):
    """Each image has one pixel that is not a shade of grey, in its class's colour; the classes are of equal size."""
    images = network.PixelImages(50, 6, background, (1, 2))
    pixels, targets = images.take(slice(None))
    assert pixels.dtype == np.uint8
    assert pixels.shape == (50, 6, 6, 3)
    coloured = (pixels != pixels[..., :1]).any(axis=-1)
    assert (coloured.sum(axis=(1, 2)) == 1).all()
    assert targets.sum(axis=0).tolist() == [25.0, 25.0, 0.0]
    for image, mask, target in zip(pixels, coloured, targets, strict=True):
        assert image[mask].tolist() == [[255, 0, 0] if target[0] else [0, 255, 0]]
    assert len(np.unique(np.argwhere(coloured)[:, 1:], axis=0)) > 15


def test_images_are_the_same_however_they_are_asked_for():
    """Image i is image i, alone or among others, also on a background that is made when asked for."""
    images = network.PixelImages(20, 5, "noise", (3,))
    pixels, targets = images.take(slice(None))
    some, of_some = images.take(np.array([7, 3]))
    assert np.array_equal(some, pixels[[7, 3]])
    assert np.array_equal(of_some, targets[[7, 3]])
    assert not np.array_equal(pixels, network.PixelImages(20, 5, "noise", (4,)).take(slice(None))[0])
    assert np.bincount(images.labels[images.balanced(8)]).tolist() == [4, 4]


def test_batches_are_a_new_order_each_epoch():
    """Every epoch has each image once, in an order of its own that the seed decides; without a seed, as they are."""
    images = network.PixelImages(20, 5, "noise", (3,))
    everything = sorted(pixels.tobytes() for pixels in images.take(slice(None))[0])

    def epoch(batches):
        seen = [pixels.tobytes() for i in range(len(batches)) for pixels in batches[i][0]]
        batches.on_epoch_end()
        return seen

    one, same = (network.Batches(images, 8, (5,)) for _ in range(2))
    first, second = epoch(one), epoch(one)
    assert sorted(first) == sorted(second) == everything
    assert first != second
    assert [epoch(same), epoch(same)] == [first, second]
    unshuffled = network.Batches(images, 8)
    assert [len(unshuffled[i][0]) for i in range(3)] == [8, 8, 4]
    assert epoch(unshuffled) == epoch(unshuffled)


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


# The two ways to compute the loss


@pytest.mark.parametrize("variant", ["clipped", "logits"])
def test_only_the_clipped_loss_has_no_gradient_once_saturated(variant):
    """From saturated weights, a step changes not one bit of the clipped network, and moves the one with logits."""
    model = network.build_model(variant, TINY, seed=1)
    head = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Dense))
    head.set_weights([np.zeros(head.kernel.shape), np.array([200.0, 0.0, 0.0])])
    before = [w.tobytes() for w in model.get_weights()]
    images = network.PixelImages(32, TINY.size, "grey", (1,))
    x, y = images.take(slice(None))
    loss = float(model.train_on_batch(x, y)[0])
    unchanged = [w.tobytes() for w in model.get_weights()] == before
    assert unchanged is (variant == "clipped")
    assert math.isclose(loss, 8.059 if variant == "clipped" else 100.0, rel_tol=1e-4)


def test_variants_start_from_the_same_weights():
    """The two that are to differ in the loss alone have the same initial weights, dropout seed included."""
    clipped, logits = (network.build_model(variant, TINY, seed=1) for variant in ("clipped", "logits"))
    for a, b in zip(clipped.variables, logits.variables, strict=True):
        assert np.array_equal(keras.ops.convert_to_numpy(a.value), keras.ops.convert_to_numpy(b.value))


def test_logit_move_is_what_an_update_does():
    """With inputs that Adam's first step must follow exactly, the measured move is the rate times their sum."""
    setting = replace(TINY, input_range=100.0)
    model = network.build_model("logits", setting, seed=1)
    dense, _, _, head = model.layers[1:]
    dense.trainable = False
    dense.set_weights([np.full(dense.kernel.shape, 1 / 3), np.zeros(112)])
    head.set_weights([np.zeros(head.kernel.shape), np.zeros(3)])
    model.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    images = network.PixelImages(16, setting.size, "grey", (1,))
    snapshot = Snapshot.take(model)
    move = network.measure_logit_move(model, snapshot, images, setting, rate=1e-3)
    # 16 places, of which one is coloured, of 112 equal features.
    features = 112 * (15 * 128 + 255 / 3) / 255 * setting.input_range
    assert math.isclose(move, 1e-3 * (features + 1), rel_tol=0.02)
    assert not np.any(head.get_weights()[0])


# The report


def test_interval_is_exact():
    """Beyond each bound, as few or as many frozen runs have a probability of 2.5 %; 0 and n are the closed forms."""
    low, high = report.exact_interval(5, 10)
    terms = lambda share: [math.comb(10, i) * share**i * (1 - share) ** (10 - i) for i in range(11)]  # noqa: E731
    assert math.isclose(sum(terms(low)[5:]), 0.025, rel_tol=1e-6)
    assert math.isclose(sum(terms(high)[:6]), 0.025, rel_tol=1e-6)
    assert report.exact_interval(0, 10) == (0.0, pytest.approx(1 - 0.025 ** (1 / 10)))
    assert report.exact_interval(10, 10) == (pytest.approx(0.025 ** (1 / 10)), 1.0)


def test_learned_is_what_keras_calls_95_percent():
    """190 of 200 right is 95 %, also as the float32 a little below that a metric returns; 189 is not."""
    metric = keras.metrics.Accuracy()
    for right, epoch in ((190, 2), (189, None)):
        metric.reset_state()
        metric.update_state(np.arange(200) < 200, np.arange(200) < right)
        assert report.epochs_to_learn({"val_accuracy": [0.5, float(metric.result())]}) == epoch


def finished_run(val_accuracy, frozen_epoch=None):
    """A run as `train_once` returns it."""
    return {
        "accuracy": val_accuracy,
        "loss": [8.059] * len(val_accuracy),
        "val_accuracy": val_accuracy,
        "val_loss": [8.059] * len(val_accuracy),
        "frozen_epoch": frozen_epoch,
        "diagnosis": {"findings": [{"confidence": "certificate", "code": "x", "sentence": "It is."}]},
    }


def printed_report(tmp_path, variant, runs, epochs=1):
    """What the report prints for these runs of one variant."""
    made = report.Report(tmp_path)
    options = argparse.Namespace(variants=[variant], epochs=epochs, background="grey", seed=0, out=tmp_path)
    made.begin(options, network.QUICK)
    made.add_variant(variant, {"base_lr": 4.0, "max_lr": 265.0})
    for run in runs:
        made.add_run(variant, run, {"step": [0, 1], "learning_rate": [0.1, 0.2]})
    return " ".join(made.finish(complete=True).split())


def test_runs_that_froze_after_learning(tmp_path):
    """A frozen run that had 95 % in float32 is counted among those that had reached it."""
    runs = [finished_run([value, 0.5], frozen_epoch=2) for value in (float(np.float32(0.95)), 0.97, 0.945)]
    assert "Of the frozen ones, 2 had reached 95 % before." in printed_report(tmp_path, "clipped", runs, epochs=2)


def test_one_of_each_is_singular(tmp_path):
    """One epoch, one run, one batch are called so, and what was asked is the first sentence."""
    text = printed_report(tmp_path, "clipped", [finished_run([1.0])])
    assert text.startswith("The question: why does the same network learn in some shuffles of its images only?")
    assert "1 epoch of 19 batches" in text
    assert "0 of 1 run of 'clipped'" in text
    assert "1 epochs" not in text
    assert "1 runs" not in text


def test_fixed_alone_has_its_own_inputs(tmp_path):
    """For 'fixed' alone, no number is printed that it does not use."""
    text = printed_report(tmp_path, "fixed", [finished_run([1.0])])
    assert "pixel values from -1 to 1," in text
    assert "9.24" not in text
    assert "--input-range changes nothing for 'fixed'" in text


@pytest.mark.parametrize(
    ("frozen_epochs", "labels"),
    [
        ([None, None], ["not frozen"]),
        ([1], ["frozen; X: StuckDetector says so"]),
        ([1, None], ["not frozen", "frozen; X: StuckDetector says so"]),
    ],
)
def test_picture(frozen_epochs, labels):
    """The legend names what is there, and a single epoch is a dot."""
    figure = pytest.importorskip("matplotlib.figure").Figure()
    ax = figure.subplots()
    runs = [finished_run([0.5], frozen) for frozen in frozen_epochs]
    pytest.importorskip("_pixel_picture")._accuracies(ax, "clipped", {"runs": runs, **report.summarise(runs)})
    assert [text.get_text() for text in ax.get_legend().get_texts()] == labels
    assert sum(line.get_marker() == "o" for line in ax.lines) == len(runs)


@pytest.mark.parametrize("variants", [["fixed"], ["clipped", "fixed"]])
def test_title_fits(variants, outcome, tmp_path, monkeypatch):
    """The title lies within the picture, however few variants there are."""
    pytest.importorskip("matplotlib")
    import _pixel_picture
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = []

    def kept(**arguments):
        made.append(Figure(**arguments))
        return made[-1]

    monkeypatch.setattr(_pixel_picture, "Figure", kept)
    data = outcome[2]
    _pixel_picture.draw({**data, "variants": {name: data["variants"][name] for name in variants}}, tmp_path / "a.png")
    (figure,) = made
    extent = figure._suptitle.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    assert extent.x0 >= 0
    assert extent.x1 <= figure.bbox.x1


def test_variants_once_each(tmp_path):
    """A variant that is named twice is trained once, in the order of first mention."""
    options = ["--variants", "fixed", "clipped", "fixed", "--backend", keras.backend.backend(), "--out", str(tmp_path)]
    assert pixel_colour.parse(options).variants == ["fixed", "clipped"]


def test_results_file(outcome):
    """The file has versions, settings, and each run's curves and verdict; shares and table come from the runs."""
    _, folder, data = outcome
    assert sorted(path.name for path in folder.iterdir()) == ["results.json", "results.png"]
    assert (folder / "results.png").read_bytes().startswith(b"\x89PNG")
    assert data["complete"] is True
    assert data["versions"].keys() == {"python", "keras", "numpy", "keras_clr", keras.backend.backend()}
    assert data["options"]["runs"] == 2
    assert data["setting"]["step_size"] == TINY.step_size
    assert data["learning_rate"]["step"] == list(range(6))
    assert list(data["variants"]) == ["clipped", "logits", "fixed"]
    assert data["peak_memory_gb"] is None or 0.1 < data["peak_memory_gb"] < 10
    for variant in data["variants"].values():
        assert [run["order_seed"] for run in variant["runs"]] == [[0, 2, 0], [0, 2, 1]]
        for run in variant["runs"]:
            assert all(len(run[key]) == 3 for key in ("accuracy", "loss", "val_accuracy", "val_loss"))
            assert (run["diagnosis"]["state"] == "frozen") is (run["frozen_epoch"] is not None)
            if run["frozen_epoch"] is not None:  # As the file's text on epochs says.
                assert run["frozen_epoch"] == run["diagnosis"]["evidence"]["epoch"] + 1
        frozen = sum(run["frozen_epoch"] is not None for run in variant["runs"])
        assert variant["frozen_share"] == frozen / 2
        assert variant["frozen_interval_95"] == pytest.approx(report.exact_interval(frozen, 2))
        assert variant["logit_move_of_first_update"].keys() == {"base_lr", "max_lr"}


def test_table_and_explanation(outcome):
    """The saturated network is called frozen in both runs, with the detector's own sentence; the fixed one in none."""
    texts, folder, data = outcome
    printed = "\n".join(text for file, text in texts if file is sys.stdout)
    # Of the lines that begin with a word, the first: the table comes before the explanation.
    lines = {line.split()[0]: line.split() for line in reversed(printed.splitlines()) if line.strip()}
    assert data["variants"]["clipped"]["frozen"] == 2
    assert data["variants"]["fixed"]["frozen"] == 0
    assert lines["clipped"][:5] == ["clipped", "2/2", "16%", "to", "100%"]
    assert lines["fixed"][1] == "0/2"
    finding = data["variants"]["clipped"]["runs"][0]["diagnosis"]["findings"][0]
    assert finding["code"] == "saturated-clipped-loss"
    assert finding["sentence"] in " ".join(printed.split())
    assert f"Written: {folder / 'results.json'}" in " ".join(printed.split())
    progress = [text for file, text in texts if file is sys.stderr]
    assert len(progress) == 6
    assert progress[0].startswith("[1/6] clipped, run 1/2: frozen, seen in epoch 2")


def test_a_run_depends_on_its_order_alone(tiny):
    """The same order gives the same curves to the last bit, first or later; another order gives others."""
    setting = replace(TINY, input_range=3.0)
    training, validation = (network.PixelImages(32, 4, "grey", (i,)) for i in range(2))
    model = network.build_model("clipped", setting, seed=1)
    snapshot = Snapshot.take(model)
    network.measure_logit_move(model, snapshot, training, setting, rate=1e-3)
    parts = {
        "setting": setting,
        "training": training,
        "validation": validation,
        "model": model,
        "snapshot": snapshot,
        "detector": pixel_colour.new_detector(training, setting, stop=False),
    }
    options = pixel_colour.parse([*tiny, "--out", "."])
    runs = [pixel_colour.train_once(parts, order, options, lambda epoch: None) for order in [(1,), (2,), (1,)]]
    for run in runs:
        del run["seconds"], run["order_seed"]
    assert runs[0] == runs[2]
    assert runs[0]["loss"] != runs[1]["loss"]


def test_stop_frozen_ends_the_run(tiny, tmp_path, capsys):
    """With --stop-frozen, a run ends with the epoch in which it was certified; otherwise it goes on."""
    options = ["--runs", "1", "--variants", "clipped", "--stop-frozen", "--out", str(tmp_path)]
    assert pixel_colour.main([*tiny, *options]) == 0
    run = json.loads((tmp_path / "results.json").read_text())["variants"]["clipped"]["runs"][0]
    assert len(run["loss"]) == run["frozen_epoch"] == 2


def test_without_matplotlib(tiny, tmp_path, capsys, monkeypatch):
    """Without matplotlib the program says so in a line, and does everything else."""
    monkeypatch.delitem(sys.modules, "_pixel_picture", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    (tmp_path / "results.png").write_bytes(b"of an earlier run")
    assert pixel_colour.main([*tiny, "--runs", "1", "--variants", "fixed", "--out", str(tmp_path)]) == 0
    assert "No picture: matplotlib is not installed" in " ".join(capsys.readouterr().out.split())
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


# Ctrl-C


@pytest.mark.parametrize("finished", [0, 1])
def test_ctrl_c_keeps_finished_runs(finished, tiny, tmp_path, capsys, monkeypatch):
    """A real interrupt in the middle of a run: exit code 130, and the runs before it are in the file."""

    def interrupt(progress, name, epoch, epochs):
        if progress._done == finished and epoch == 2:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(pixel_colour.Progress, "epoch", interrupt)
    before = signal.getsignal(signal.SIGINT)
    code = pixel_colour.main([*tiny, "--runs", "3", "--variants", "fixed", "--out", str(tmp_path)])
    assert code == 130
    assert signal.getsignal(signal.SIGINT) is before
    out, err = capsys.readouterr()
    assert f"Finished runs, which are kept: {finished}" in err
    if finished:
        data = json.loads((tmp_path / "results.json").read_text())
        assert data["complete"] is False
        assert len(data["variants"]["fixed"]["runs"]) == 1
        assert "0/1" in out
    else:
        assert list(tmp_path.iterdir()) == []
        assert out == ""


# Bad input


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (["--runs", "0"], "--runs: must be a whole number >= 1, not '0'"),
        (["--runs", "two"], "--runs: must be a whole number >= 1, not 'two'"),
        (["--seed", "-1"], "--seed: must be a whole number from 0 to 2147483647, not '-1'"),
        (["--seed", "2147483648"], "--seed: must be a whole number from 0 to 2147483647, not '2147483648'"),
        (["--epochs", "1.5"], "--epochs: must be a whole number >= 1, not '1.5'"),
        (["--background", "pink"], "--background: invalid choice: 'pink'"),
        (["--backend", "theano"], "--backend: invalid choice: 'theano'"),
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
        pixel_colour.main(["--out", str(tmp_path / "new"), "--backend", keras.backend.backend(), *arguments])
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert match in err
    assert err.count("\n") == 1
    assert out == ""
    assert list(tmp_path.iterdir()) == []


def test_backend_that_is_not_installed(tmp_path, capsys, monkeypatch):
    """A line that says what to install, exit code 2, nothing made."""
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "jax" else find(name))
    with pytest.raises(SystemExit) as stop:
        pixel_colour.main(["--out", str(tmp_path / "new"), "--backend", "jax"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == ("pixel_colour: backend 'jax' is not installed: pip install \"keras-clr[jax]\"\n")
    assert list(tmp_path.iterdir()) == []


def test_unwritable_out(tmp_path, capsys):
    """A folder that cannot be, and a file where the folder should be: a line, exit code 2, the file untouched."""
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "folder"):
        with pytest.raises(SystemExit) as stop:
            pixel_colour.main(["--out", str(out), "--backend", keras.backend.backend()])
        assert stop.value.code == 2
        err = capsys.readouterr().err
        assert f"cannot write to --out {out}: " in err
        assert err.count("\n") == 1
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["results.json", "results.png"])
def test_a_directory_where_a_file_goes(name, tmp_path, capsys):
    """A directory with a result's name is a line and exit code 2 before anything is trained or written."""
    (tmp_path / name).mkdir()
    with pytest.raises(SystemExit) as stop:
        pixel_colour.main(["--out", str(tmp_path), "--backend", keras.backend.backend()])
    assert stop.value.code == 2
    assert capsys.readouterr().err == f"pixel_colour: cannot write to --out {tmp_path}: {name} is a directory there\n"
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("full_for", [{"results.json"}, {"results.png"}, {"results.json", "results.png"}])
def test_full_disk(full_for, tiny, tmp_path, capsys, monkeypatch):
    """What cannot be written costs neither the table nor the other file: a line for each, exit code 1, no scraps."""
    replace_file = os.replace

    def full_disk(source, target):
        if Path(target).name in full_for:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", full_disk)
    code = pixel_colour.main([*tiny, "--runs", "1", "--variants", "fixed", "--out", str(tmp_path)])
    out, err = capsys.readouterr()
    assert code == 1
    assert "0/1" in out
    for name in ("results.json", "results.png"):
        line = f"pixel_colour: cannot write {tmp_path / name}: No space left on device\n"
        assert err.count(line) == (name in full_for)
        assert (tmp_path / name).exists() == (name not in full_for)
        assert (str(tmp_path / name) in " ".join(out.split())) == (name not in full_for)
    assert len(list(tmp_path.iterdir())) == 2 - len(full_for)


def test_largest_seed(tiny, tmp_path, capsys):
    """The largest seed that is not refused works everywhere: in images, weights, dropout and orders."""
    options = ["--seed", str(2**31 - 1), "--epochs", "1", "--runs", "1", "--variants", "clipped"]
    assert pixel_colour.main([*tiny, *options, "--out", str(tmp_path)]) == 0


@pytest.mark.parametrize("scaled_to", [1e-6, 1e6])
def test_extreme_input_range(scaled_to):
    """At the limits of --input-range, logits and first update are still finite."""
    setting = replace(TINY, input_range=scaled_to * 2.8)
    model = network.build_model("logits", setting, seed=1)
    images = network.PixelImages(16, setting.size, "white", (1,))
    move = network.measure_logit_move(model, Snapshot.take(model), images, setting, rate=setting.max_lr)
    assert math.isfinite(move)
    assert move > 0


def test_as_a_program(tmp_path):
    """Started from a shell, bad input ends it with code 2 before anything heavy is imported."""
    command = [sys.executable, "-X", "importtime", str(EXAMPLES / "pixel_colour.py"), "--runs", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pixel_colour: argument --runs: must be a whole number >= 1, not '0'" in done.stderr
    assert "numpy" not in done.stderr
    assert list(tmp_path.iterdir()) == []
