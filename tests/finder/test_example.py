"""`examples/find_lr.py`: runs as its first lines say, and refuses what makes no sense."""

import importlib.util
from pathlib import Path

import keras
import pytest

pytest.importorskip("sklearn", reason="the example learns digits from scikit-learn")
pytest.importorskip("matplotlib", reason="the example draws")

ROOT = Path(__file__).parents[2]
WAYS = {"default rate", "rate of find_lr", "cycle of find_lr"}


@pytest.fixture(scope="module")
def example():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("example_find_lr", ROOT / "examples" / "find_lr.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_compares_three_ways_and_draws(example, tmp_path, capsys):
    """A small run: one row for each way, all of which have learned something, and a picture."""
    keras.config.disable_interactive_logging()
    picture = tmp_path / "curve.png"
    assert example.main(["--runs", "1", "--epochs", "2", "--optimizer", "adam", "--out", str(picture)]) == 0
    shown = capsys.readouterr().out
    rows = {line[:18].strip(): float(line.split()[-1]) for line in shown.splitlines() if line[:18].strip() in WAYS}
    assert set(rows) == WAYS
    assert min(rows.values()) > 0.5  # Accuracy; a guess has 0.1.
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--runs", "0"], "--runs and --epochs must be at least 1, not 0 and 8"),
        (["--epochs", "-1"], "--runs and --epochs must be at least 1, not 5 and -1"),
        (["--out", "nowhere/at/all.png"], "the folder of --out nowhere/at/all.png does not exist"),
        (["--optimizer", "lion"], "invalid choice: 'lion'"),
    ],
)
def test_options_that_make_no_sense_are_refused(example, arguments, message, capsys):
    """Exit code 2 and a line that names the option."""
    with pytest.raises(SystemExit, match="2"):
        example.main(arguments)
    assert message in capsys.readouterr().err
