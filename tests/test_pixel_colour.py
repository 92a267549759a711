"""Tests of `examples/pixel_colour.py`: what it makes, measures, writes, and refuses."""

import importlib.util
import json
import math
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
        frozen = sum(run["frozen_epoch"] is not None for run in variant["runs"])
        assert variant["frozen_share"] == frozen / 2
        assert variant["frozen_interval_95"] == pytest.approx(report.exact_interval(frozen, 2))
        assert variant["logit_move_of_first_update"].keys() == {"base_lr", "max_lr"}


def test_table_and_explanation(outcome):
    """The saturated network is called frozen in both runs, with the detector's own sentence; the fixed one in none."""
    texts, folder, data = outcome
    printed = "\n".join(text for file, text in texts if file is sys.stdout)
    lines = {line.split()[0]: line.split() for line in printed.splitlines() if line.strip()}
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
        (["--seed", "-1"], "--seed: must be a whole number >= 0, not '-1'"),
        (["--epochs", "1.5"], "--epochs: must be a whole number >= 1, not '1.5'"),
        (["--background", "pink"], "--background: invalid choice: 'pink'"),
        (["--backend", "theano"], "--backend: invalid choice: 'theano'"),
        (["--input-range", "nan"], "--input-range: must be a number > 0, not 'nan'"),
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


def test_as_a_program(tmp_path):
    """Started from a shell, bad input ends it with code 2 before anything heavy is imported."""
    command = [sys.executable, "-X", "importtime", str(EXAMPLES / "pixel_colour.py"), "--runs", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pixel_colour: argument --runs: must be a whole number >= 1, not '0'" in done.stderr
    assert "numpy" not in done.stderr
    assert list(tmp_path.iterdir()) == []
