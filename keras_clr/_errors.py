"""The package's own warnings and errors, and what is done with those of others."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class KerasCLRWarning(UserWarning):
    """Base of every warning that keras-clr gives; filter on it to silence or to raise them all."""


class StuckTrainingWarning(KerasCLRWarning):
    """`StuckDetector(on_stuck="warn")` found the run frozen at chance."""


class StuckTrainingError(RuntimeError):
    """`StuckDetector(on_stuck="raise")` found the run frozen at chance.

    Attributes:
        diagnosis: The `Diagnosis` that led to it.
    """

    def __init__(self, message: str, diagnosis: object) -> None:
        super().__init__(message)
        self.diagnosis = diagnosis

    def __reduce__(self) -> tuple[type[StuckTrainingError], tuple[object, ...]]:
        # Unpickled, an exception is rebuilt from its `args`, and these are the message alone.
        return type(self), (*self.args, self.diagnosis)


def attempt(look: Callable[[], _T]) -> tuple[_T | None, str | None]:
    """What `look` returns, and the error if there was one: a look must not end the run that it looks at."""
    try:
        return look(), None
    except Exception as error:  # whatever a user's model or data may raise
        return None, f"{type(error).__name__}: {_plain(str(error))}"


def _plain(message: str) -> str:
    """A backend's message without colours, places in a graph, and lists of arguments; in one line."""
    message = re.sub("\x1b\\[[0-9;]*m|\\{\\{\\w+ [^}]*\\}\\}|\\[Op:\\w+\\] name:|\\[\\[\\{\\{.*", "", message)
    message = re.sub(r"Exception encountered when calling .*?\(\)\.\n", "", message)
    message = re.split(r"\nArguments received by |\nDetected at node|\n-{10,}", message)[0]
    return " ".join(message.split())
