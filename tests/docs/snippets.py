"""The Python blocks of a Markdown page."""

from __future__ import annotations

import contextlib
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PREAMBLES = ROOT / "tests/docs/preambles"
_BLOCK = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>.+?) -->\n+)?^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```$",
    flags=re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Snippet:
    """A block, the line of the page on which its code begins, its section, and why it is not run, if it is not."""

    code: str
    line: int
    section: str | None
    reason: str | None


def pages() -> list[Path]:
    """Every Markdown page of the project, also in folders that are still to come."""
    inside = [path for path in (ROOT / "docs").rglob("*.md") if not {"_build", "gallery"} & set(path.parts)]
    return sorted([*ROOT.glob("*.md"), *inside])


def snippets(page: Path) -> list[Snippet]:
    """Its blocks, from top to bottom."""
    text = page.read_text()
    found = []
    for block in _BLOCK.finditer(text):
        before = text[: block.start("code")]
        section = (re.findall(r"^## (.+)$", before, flags=re.MULTILINE) or [None])[-1]
        found.append(Snippet(textwrap.dedent(block["code"]), before.count("\n") + 1, section, block["reason"]))
    fences = len(re.findall(r"^ *```+ *(?:python|py|pycon)\b", text, flags=re.MULTILINE))
    assert len(found) == fences, f"{page.name}: {fences} blocks of Python, of which {len(found)} could be read"
    return found


def execute(page: Path, undo: contextlib.ExitStack, *, section: str | None = None) -> dict[str, Any]:
    """Runs the blocks of a page, one after the other, behind what its preamble provides.

    Args:
        page: The page.
        undo: What a preamble wants to be undone goes there.
        section: The section whose blocks are run; None for the whole page.

    Returns:
        The names that they leave behind.
    """
    names = {"__name__": "__main__", "undo": undo}
    for preamble in (PREAMBLES / "_any.py", PREAMBLES / f"{page.stem}.py"):
        if preamble.exists():
            _run(preamble, preamble.read_text(), 1, names)
    for snippet in snippets(page):
        if snippet.reason is None and section in (None, snippet.section):
            _run(page, snippet.code, snippet.line, names)
    return names


def _run(path: Path, code: str, line: int, names: dict[str, Any]) -> None:
    """Executes it so that an error names the page and the line."""
    exec(compile("\n" * (line - 1) + code, str(path), "exec"), names)
