"""Set-up shared by all tests. The backend is the one that KERAS_BACKEND names."""

import contextlib
import importlib.metadata
import os
import platform

# Before any backend is imported: no CUDA look-up, no start-up chatter.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
os.environ.setdefault("MPLBACKEND", "Agg")

# torch is the oracle of some tests on every backend. Imported after TensorFlow, it may crash the process.
with contextlib.suppress(ImportError):
    import torch  # noqa: F401

import keras
import pytest
from hypothesis import settings

# Examples compile nothing, but the first one may pay for an import: no deadline. Same examples in every run.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


@pytest.fixture
def backend():
    """Name of the backend that runs."""
    return keras.backend.backend()


@pytest.fixture(autouse=True, scope="session")
def _versions(pytestconfig, record_testsuite_property):
    """Tells the report what was tested, for `docs/make_environments.py`."""
    of_backend = {"tensorflow": ("tensorflow", "tensorflow-cpu"), "jax": ("jax",), "torch": ("torch",)}
    installed = {d.name.replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    name = next(name for name in of_backend[keras.backend.backend()] if name in installed)
    whole = pytestconfig.args_source is pytest.Config.ArgsSource.TESTPATHS and not pytestconfig.getoption("keyword")
    record_testsuite_property("python", platform.python_version())
    record_testsuite_property("keras", keras.__version__)
    record_testsuite_property("backend", f"{name} {installed[name]}")
    record_testsuite_property("numpy", installed["numpy"])
    record_testsuite_property("suite", "whole" if whole else "a part")


@pytest.fixture(autouse=True)
def _keras_settings():
    """No test leaves global settings of Keras behind."""
    yield
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    keras.config.enable_interactive_logging()
