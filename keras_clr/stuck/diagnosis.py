"""`Diagnosis`: where a run stands, what was found, what to change, what cannot be known."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from keras_clr.stuck.chance import Chance
from keras_clr.stuck.drawing import draw_run
from keras_clr.stuck.finding import Finding, plain
from keras_clr.stuck.report import html_fragment, html_page, write_page
from keras_clr.stuck.state import State as State
from keras_clr.stuck.terminal import print_report, rich_report
from keras_clr.stuck.text import one_paragraph, plain_text


@dataclass(frozen=True)
class Diagnosis:
    """What a detector knows about a run.

    Attributes:
        state: Where the run stands.
        findings: What was found, the one to act on first.
        chance: Chance level of the labels, or None if it cannot be known.
        evidence: Numbers behind `state`; a number that is not finite is a string, as in "nan".
        cannot_know: What could not be looked at, and why.
        history: What was seen of each epoch, for the picture; a restart begins it anew.

    Example:
        >>> diagnosis = Diagnosis(State.TOO_EARLY, evidence={"epoch": 0})
        >>> diagnosis
        Diagnosis('too early to tell', epoch=0, findings=[])
        >>> Diagnosis.from_dict(json.loads(diagnosis.to_json())) == diagnosis
        True
    """

    state: State
    findings: tuple[Finding, ...] = ()
    chance: Chance | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    cannot_know: tuple[str, ...] = ()
    history: tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        codes = ", ".join(finding.code for finding in self.findings)
        return f"Diagnosis({self.state.value!r}, epoch={self.evidence.get('epoch')}, findings=[{codes}])"

    def __str__(self) -> str:
        return self.text()

    def summary(self) -> str:
        """One paragraph: the state, the first finding, and where to read on."""
        return one_paragraph(self)

    def text(self) -> str:
        """The whole report as plain text."""
        return plain_text(self)

    def print(self, file: TextIO | None = None) -> None:
        """Prints the whole report: in colour on a terminal if rich is installed, else as `text()`.

        Args:
            file: Where to; `sys.stdout` when None.
        """
        print_report(self, file)

    def plot(self, ax: Any = None) -> Any:
        """Draws the accuracies over the epochs with the chance level, and the states as bands behind them.

        Where there is no accuracy, as in a regression, it draws the losses, with that of the best constant answer. A
        loss that is not finite is a cross at the top.

        Args:
            ax: Matplotlib Axes to draw on; a new figure's when None.

        Returns:
            The Axes. Nothing is shown: call `matplotlib.pyplot.show()` for that.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return draw_run(self, ax)

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """The whole report as a web page that needs no network and no script, with pictures if matplotlib is there.

        Args:
            path: File to write it to; replaced if it exists. None to write nothing.

        Returns:
            The page.

        Raises:
            FileNotFoundError: If the directory of `path` does not exist.
            IsADirectoryError: If `path` is a directory.

        Example:
            >>> Diagnosis(State.LEARNING).to_html().count("<h1>learning</h1>")
            1
        """
        return html_page(self) if path is None else write_page(self, path)

    def _repr_html_(self) -> str:
        return html_fragment(self)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        yield from rich_report(self)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings; `from_dict` takes them back."""
        return {
            "state": self.state.value,
            "findings": [plain(asdict(finding)) for finding in self.findings],
            "chance": None if self.chance is None else self.chance.to_dict(),
            "evidence": plain(self.evidence),
            "cannot_know": list(self.cannot_know),
            "history": [plain(seen) for seen in self.history],
        }

    def to_json(self, **kwargs: Any) -> str:
        """`to_dict` as standard JSON; `kwargs` go to `json.dumps`."""
        return json.dumps(self.to_dict(), allow_nan=False, **kwargs)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Diagnosis:
        """The diagnosis that `to_dict` wrote, also after a round trip through JSON."""
        chance = data["chance"]
        return cls(
            state=State(data["state"]),
            findings=tuple(
                Finding(**{**finding, "cannot_know": tuple(finding["cannot_know"])}) for finding in data["findings"]
            ),
            chance=chance and Chance(**{**chance, "shares": tuple(chance["shares"])}),
            evidence=dict(data["evidence"]),
            cannot_know=tuple(data["cannot_know"]),
            history=tuple(dict(seen) for seen in data.get("history", ())),
        )
