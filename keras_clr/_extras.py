"""Packages that only an extra brings, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any


def import_extra(module: str, extra: str, purpose: str) -> Any:
    """A module that an extra of the package brings.

    Raises:
        ImportError: If it is not installed; names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.split(".")[0]
        raise ImportError(f'{purpose} needs {package}. Install it with: pip install "keras-clr[{extra}]"') from error
