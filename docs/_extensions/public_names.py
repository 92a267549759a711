"""Fails the build if a public name, or a public member of one, is not documented."""

import inspect
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import keras_clr

_logger = logging.getLogger(__name__)


def public_names() -> list[str]:
    """`keras_clr.X` for what `__all__` lists, and `keras_clr.X.member` for what the package itself defines of it."""
    names = []
    for name in keras_clr.__all__:
        value = getattr(keras_clr, name)
        names.append(f"keras_clr.{name}")
        if inspect.isclass(value):
            classes = [base for base in value.__mro__ if base.__module__.split(".")[0] == "keras_clr"]
            members = {member for base in classes for member, what in vars(base).items() if _is_code(what)}
            names += [f"keras_clr.{name}.{member}" for member in sorted(members) if not member.startswith("_")]
    return names


def check(app: Sphinx, env: BuildEnvironment) -> None:
    """Warns about what is not there; warnings are errors."""
    documented = {entry[0] for entry in env.domains["py"].get_objects()}
    for name in public_names():
        if name not in documented:
            _logger.warning("public name %s is not documented: add it to docs/api.md", name)


def setup(app: Sphinx) -> dict[str, Any]:
    """Asks when all pages have been read."""
    app.connect("env-check-consistency", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _is_code(value: Any) -> bool:
    return inspect.isfunction(value) or isinstance(value, property | classmethod | staticmethod)
