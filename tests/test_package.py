"""What `import keras_clr` brings, and where from."""

import json
import os
import subprocess
import sys
import tomllib
import types
from pathlib import Path

import any_keras
import pytest
from packaging.requirements import Requirement

import keras_clr
from keras_clr._keras import api

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
    # Keras 2.12 has its public names only there.
    before = "import tensorflow; tensorflow.keras.Model" if any_keras.VERSION < (2, 13) else f"import {any_keras.NAME}"
    extra = python(
        f"{before}\n"
        "import sys, json\n"
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
    assert {"CyclicLR", "CyclicSchedule"} <= set(keras_clr.__all__)
    assert any_keras.KERAS_2 or {"StuckDetector", "Study", "study", "find_lr"} <= set(keras_clr.__all__)
    assert {"KerasCLRWarning", "StuckTrainingError", "StuckTrainingWarning"} <= set(keras_clr.__all__)


def test_version_is_the_distributions():
    """`keras_clr.__version__` is the version that was installed."""
    metadata = pytest.importorskip("importlib.metadata")
    if "KERAS_CLR_EXPECT_INSTALLED" in os.environ:
        assert metadata.version("keras-clr") == keras_clr.__version__
    else:
        assert f'__version__ = "{keras_clr.__version__}"' in (SOURCE / "keras_clr/__init__.py").read_text()


@pytest.mark.keras3("find_lr, StuckDetector and study")
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


REFUSED = [
    (
        "keras",
        "2.11.0",
        r"keras-clr needs Keras 3\.\d+ or later, Keras 2\.12 to 2\.15, or tf_keras .*Found keras 2\.11\.0",
    ),
    ("keras", "3.0.5", r"Found keras 3\.0\.5"),
    ("keras", "3.11.3", r"Found keras 3\.11\.3"),
    ("tf_keras", "2.11.0", r"Found tf_keras 2\.11\.0"),
]


@pytest.mark.parametrize(("name", "version", "message"), REFUSED)
def test_other_versions_of_keras_are_refused(name, version, message, monkeypatch):
    """A Keras that was never tried is named by an ImportError, with those that work."""
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1" if name == "tf_keras" else "0")
    monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(__version__=version))
    with pytest.raises(ImportError, match=message):
        api._chosen()


def test_installers_take_the_versions_that_are_not_refused():
    """What `pyproject.toml` asks for begins where `keras_clr` does: no installer brings a Keras that is refused."""
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    (wanted,) = (r for r in map(Requirement, project["dependencies"]) if r.name == "keras")
    major, minor = api.OLDEST_KERAS_3
    taken = [f"{major}.{number}.0" for number in range(minor + 5) if f"{major}.{number}.0" in wanted.specifier]
    assert taken == [f"{major}.{number}.0" for number in range(minor, minor + 5)]
    assert "2.12.0" in wanted.specifier
    assert "2.11.0" not in wanted.specifier


def test_tf_keras_that_is_not_there(monkeypatch):
    """With TF_USE_LEGACY_KERAS and without tf_keras, Keras 2 is what is meant; of Keras 3 it would be a mistake."""
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "tf_keras", raising=False)
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(__version__="2.14.0"))
    assert api._chosen()[1:] == ("keras 2.14.0", (2, 14))
    monkeypatch.setitem(sys.modules, "keras", types.SimpleNamespace(__version__="3.99.0"))
    with pytest.raises(ImportError, match="TF_USE_LEGACY_KERAS is set, and tf_keras is not installed"):
        api._chosen()


def test_the_keras_that_is_meant():
    """The one that the tests run on, found without their help, and no other."""
    assert api.keras.Model is any_keras.keras.Model
    assert api.KERAS_2 is any_keras.KERAS_2
    assert any_keras.keras.callbacks.Callback in keras_clr.CyclicLR.__mro__
