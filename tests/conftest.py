"""Set-up shared by all tests. The backend is the one that KERAS_BACKEND names."""

import contextlib
import importlib.metadata
import os
import platform
from pathlib import Path

# Before any backend is imported: no CUDA look-up, no start-up chatter.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MPLBACKEND", "Agg")

# torch is the oracle of some tests on every backend. Imported after TensorFlow, it may crash the process.
with contextlib.suppress(ImportError):
    import torch  # noqa: F401

import any_keras
import pytest
from hypothesis import settings

# Examples compile nothing, but the first one may pay for an import: no deadline. Same examples in every run.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

# Tests of what Keras 2 cannot have, in this folder; those among others carry the mark `keras3`.
KERAS_3_ONLY = (
    *("finder", "stuck", "study", "devices", "docs", "tools"),
    *("test_extras.py", "test_pixel_colour.py", "test_snapshot.py"),
)
KERAS_2_ONLY = ("test_keras_2.py",)
THIS = f"{any_keras.NAME} of version {'.'.join(map(str, any_keras.VERSION))}"
NEEDS_KERAS_3 = f"needs Keras 3; this is {THIS}"


class SkippedModule(pytest.Module):
    """A file of tests that is not imported."""

    reason = ""

    def collect(self):
        """Says why."""
        pytest.skip(self.reason, allow_module_level=True)


def pytest_pycollect_makemodule(module_path, parent):
    """Files that need the other Keras are skipped."""
    reason = None
    if any_keras.KERAS_2 and module_path.relative_to(Path(__file__).parent).parts[0] in KERAS_3_ONLY:
        reason = NEEDS_KERAS_3
    if not any_keras.KERAS_2 and module_path.name in KERAS_2_ONLY:
        reason = f"needs Keras 2 or tf_keras; this is {THIS}"
    if reason is None:
        return None
    module = SkippedModule.from_parent(parent, path=module_path)
    module.reason = reason
    return module


def pytest_collection_modifyitems(items):
    """Tests that need Keras 3 are skipped without it."""
    for item in items:
        mark = item.get_closest_marker("keras3")
        if any_keras.KERAS_2 and mark is not None:
            item.add_marker(pytest.mark.skip(reason=f"{NEEDS_KERAS_3}: {mark.args[0]}"))


@pytest.fixture
def backend():
    """Name of the backend that runs."""
    return any_keras.keras.backend.backend()


@pytest.fixture(autouse=True, scope="session")
def _versions(pytestconfig, record_testsuite_property):
    """Tells the report what was tested, for `docs/make_environments.py`."""
    of_backend = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "jax": ("jax",), "torch": ("torch",)}
    installed = {d.name.replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    name = next(name for name in of_backend[any_keras.keras.backend.backend()] if name in installed)
    whole = pytestconfig.args_source is pytest.Config.ArgsSource.TESTPATHS and not pytestconfig.getoption("keyword")
    record_testsuite_property("python", platform.python_version())
    record_testsuite_property("keras", any_keras.FOUND)
    record_testsuite_property("backend", f"{name} {installed[name]}")
    record_testsuite_property("numpy", installed["numpy"])
    record_testsuite_property("suite", "whole" if whole else "a part")


@pytest.fixture(autouse=True)
def _keras_settings():
    """No test leaves global settings of Keras behind."""
    yield
    any_keras.set_floatx("float32")
    any_keras.set_dtype_policy("float32")
    any_keras.enable_interactive_logging()
