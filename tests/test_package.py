"""What `import keras_clr` brings, and where from."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import keras_clr

SOURCE = Path(__file__).parent.parent


def python(code):
    """Runs `code` in a fresh interpreter on the same backend and returns what it printed as JSON."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif("KERAS_CLR_EXPECT_INSTALLED" not in os.environ, reason="only tox installs the built wheel")
def test_the_installed_wheel_is_what_is_tested():
    """Under tox, keras_clr comes from site-packages and not from the source tree."""
    assert SOURCE / "keras_clr" not in Path(keras_clr.__file__).parents
    assert "site-packages" in keras_clr.__file__
    assert (Path(keras_clr.__file__).parent / "py.typed").exists()


def test_import_adds_nothing_but_keras_clr_to_import_keras():
    """No TensorFlow of its own accord, no matplotlib, nothing third-party beyond what Keras itself loads."""
    extra = python(
        "import keras, sys, json\n"
        "before = set(sys.modules)\n"
        "import keras_clr\n"
        "print(json.dumps(sorted({m.split('.')[0] for m in set(sys.modules) - before})))"
    )
    assert "keras_clr" in extra
    assert [m for m in extra if m != "keras_clr" and m not in sys.stdlib_module_names and m != "keras"] == []


def test_every_public_name_is_there_and_documented():
    """`__all__` is the list of public names, and each has a docstring."""
    for name in keras_clr.__all__:
        assert getattr(keras_clr, name).__doc__, name
    assert {"CyclicLR", "CyclicSchedule", "StuckDetector", "Study", "study"} <= set(keras_clr.__all__)
    assert {"KerasCLRWarning", "StuckTrainingError", "StuckTrainingWarning"} <= set(keras_clr.__all__)


def test_version_is_the_distributions():
    """`keras_clr.__version__` is the version that was installed."""
    metadata = pytest.importorskip("importlib.metadata")
    if "KERAS_CLR_EXPECT_INSTALLED" in os.environ:
        assert metadata.version("keras-clr") == keras_clr.__version__
    else:
        assert f'__version__ = "{keras_clr.__version__}"' in (SOURCE / "keras_clr/__init__.py").read_text()


def test_readme_snippets_run(tmp_path, monkeypatch):
    """Every Python block of the README runs as it stands, with `x` and `y` of some data."""
    blocks = (SOURCE / "README.md").read_text().split("```python\n")[1:]
    assert blocks
    monkeypatch.chdir(tmp_path)
    import keras
    import numpy as np

    keras.utils.set_random_seed(0)
    names = {"x": np.random.default_rng(0).normal(size=(64, 4)).astype("float32"), "y": np.arange(64) % 2}
    for block in blocks:
        exec(compile(block.split("```")[0], "README.md", "exec"), names)
