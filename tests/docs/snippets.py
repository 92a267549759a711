"""The Python blocks of a Markdown page."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>.+?) -->\n+)?^(?P<indent> *)```python\n(?P<code>.*?)^(?P=indent)```$",
    flags=re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Snippet:
    """A block, the line of the page on which its code begins, and why it is not run, if it is not."""

    code: str
    line: int
    reason: str | None


def pages() -> list[Path]:
    """Every Markdown page of the project, also in folders that are still to come."""
    inside = [path for path in (ROOT / "docs").rglob("*.md") if not {"_build", "gallery"} & set(path.parts)]
    return sorted([*ROOT.glob("*.md"), *inside])


def snippets(page: Path) -> list[Snippet]:
    """Its blocks, from top to bottom."""
    text = page.read_text()
    found = [
        Snippet(textwrap.dedent(block["code"]), text.count("\n", 0, block.start("code")) + 1, block["reason"])
        for block in _BLOCK.finditer(text)
    ]
    fences = len(re.findall(r"^ *```+ *(?:python|py|pycon)\b", text, flags=re.MULTILINE))
    assert len(found) == fences, f"{page.name}: {fences} blocks of Python, of which {len(found)} could be read"
    return found
