"""A diagnosis on a terminal, in colour with rich. Every piece is a `Text`: rich reads no markup in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TextIO

from keras_clr.stuck.finding import Finding
from keras_clr.stuck.text import causes_and_hints, headline, outlook, plain_text, rows

if TYPE_CHECKING:
    from keras_clr.stuck.diagnosis import Diagnosis

_COLOURS = {"open": "bright_black", "good": "cyan", "doubtful": "yellow", "bad": "red"}


def print_report(diagnosis: Diagnosis, file: TextIO | None) -> None:
    """In colour on a terminal if rich is installed, plain otherwise."""
    file = sys.stdout if file is None else file
    try:
        from rich.console import Console, Group
    except ImportError:
        file.write(plain_text(diagnosis) + "\n")
        return
    console = Console(file=file)
    if console.is_terminal:
        # Code is not cut at the edge: the terminal breaks its lines, and gives them back whole when copied.
        console.print(Group(*rich_report(diagnosis, wrap_code=False)), crop=False)
    else:
        file.write(plain_text(diagnosis) + "\n")


def rich_report(diagnosis: Diagnosis, *, wrap_code: bool = True) -> Iterator[Any]:
    """The report as what rich can print, one piece after the other.

    Args:
        diagnosis: The diagnosis.
        wrap_code: Whether to break lines of code at the edge; without, the caller must not crop them.
    """
    from rich.console import Group
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    colour = _COLOURS[diagnosis.state.grade]
    causes, hints = causes_and_hints(diagnosis)
    numbers = Table.grid(padding=(0, 2))
    for label, value in rows(diagnosis):
        numbers.add_row(Text(label, "dim", no_wrap=True), Text(value))
    meaning = outlook(diagnosis)
    told = [numbers] if numbers.row_count else []
    told += [Text(("\n" if told else "") + meaning)] if meaning else []
    yield Panel(
        Group(*told), title=Text(headline(diagnosis), f"bold {colour}"), title_align="left", border_style=colour
    )
    for finding in causes:
        yield from _finding(finding, colour, wrap_code)
    if hints:
        yield Text("\nWorth a look:", "bold")
    for finding in hints:
        yield from _finding(finding, "default", wrap_code)
    if diagnosis.cannot_know:
        yield Text("\nCannot know:", "bold")
        yield from _bullets(diagnosis.cannot_know)


def _finding(finding: Finding, colour: str, wrap_code: bool) -> Iterator[Any]:
    from rich.padding import Padding
    from rich.syntax import Syntax
    from rich.text import Text

    yield Text.assemble("\n", (finding.code, f"bold {colour}"), (f" [{finding.confidence}]", "dim"))
    yield Padding(Text(finding.sentence), (0, 0, 0, 2))
    yield Text("  Change:", "bold")
    code = Syntax("", "python", theme="ansi_dark", background_color="default").highlight(finding.fix)
    code.rstrip()
    code.no_wrap, code.overflow = not wrap_code, "fold" if wrap_code else "ignore"
    # Padding would cut what is not wrapped.
    yield Padding(code, (0, 0, 0, 6)) if wrap_code else code
    if finding.cannot_know:
        yield Text("  Cannot know:", "bold")
        yield from _bullets(finding.cannot_know)
    yield Text(f"  More: {finding.link}", "dim")


def _bullets(sentences: tuple[str, ...]) -> Iterator[Any]:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    for sentence in sentences:
        item = Table.grid(padding=(0, 1))
        item.add_row(Text("-"), Text(sentence))
        yield Padding(item, (0, 0, 0, 2))
