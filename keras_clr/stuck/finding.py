"""`Cause`, what there is to know of a cause beforehand, and `Finding`, that it was seen."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_clr._links import DOCUMENTATION


class Confidence(enum.StrEnum):
    """How sure a finding is; the value is the message. In this order: the surest first.

    Only the first two are worth an alarm: healthy runs have hints, too.
    """

    CERTIFICATE = "certificate"
    FORECAST = "forecast"
    HINT = "hint"


@dataclass(frozen=True)
class Finding:
    """One thing that was found, with its evidence.

    Attributes:
        code: Stable name of the cause, for programs.
        sentence: What it is, in plain words, with the numbers.
        numbers: The numbers in the sentence; one that is not finite is a string, as in "nan".
        confidence: "certificate": it cannot be otherwise, given what is listed in `cannot_know`;
            "forecast": it is expected; "hint": worth a look, as it may as well be meant so.
        cannot_know: What this evidence does not tell.
        fix: Code to paste.
        link: Where the documentation explains it.
    """

    code: str
    sentence: str
    numbers: Mapping[str, Any]
    confidence: str
    cannot_know: tuple[str, ...]
    fix: str
    link: str


@dataclass(frozen=True)
class Cause:
    """A known cause of stuck training.

    Attributes:
        code: Stable name, also the anchor in the documentation.
        sentence: What it is; a template for `str.format` with the numbers.
        cannot_know: What its evidence leaves open; templates.
        fix: Code to paste; a template.
        explains: Codes of what follows from it, and is not worth telling beside it.
    """

    code: str
    sentence: str
    cannot_know: tuple[str, ...]
    fix: str
    explains: tuple[str, ...] = ()

    @property
    def link(self) -> str:
        """Where the documentation explains this cause."""
        return f"{DOCUMENTATION.format(page='why-stuck')}#{self.code}"

    def finding(
        self, confidence: Confidence, numbers: Mapping[str, Any], words: Mapping[str, Any] | None = None
    ) -> Finding:
        """That it was seen.

        Args:
            confidence: How sure it is.
            numbers: What was measured; fills the templates and is kept.
            words: What else fills the templates.
        """
        fill = {**numbers, **(words or {})}
        return Finding(
            code=self.code,
            sentence=self.sentence.format(**fill),
            numbers={name: plain(value) for name, value in numbers.items()},
            confidence=confidence.value,
            cannot_know=tuple(sentence.format(**fill) for sentence in self.cannot_know),
            fix=self.fix.format(**fill),
            link=self.link,
        )


def plain(value: Any) -> Any:
    """What JSON can hold: "nan" and "inf" as strings, what is numpy's as Python's. Anything else as it is."""
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {name: plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
