"""Two habits of the docstrings, which are written to be read as they stand, turned into what Sphinx expects."""

import re
from typing import Any

from sphinx.application import Sphinx


def prepare(app: Sphinx, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """An example need not be indented, and an indented block after a colon is a formula or code."""
    section = next((number for number, line in enumerate(lines) if re.fullmatch(r"[A-Z]\w+:", line)), len(lines))
    for number in range(section - 2):
        if lines[number].endswith(":") and not lines[number + 1] and lines[number + 2].startswith("    "):
            lines[number] += ":"
    for number, line in enumerate(lines):
        if line == "Example:" and lines[number + 1].startswith(">>>"):
            lines[number + 1 :] = [f"    {example}" for example in lines[number + 1 :]]
            break


def setup(app: Sphinx) -> dict[str, Any]:
    """Before napoleon, which reads the sections."""
    app.connect("autodoc-process-docstring", prepare, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
