"""`Diagnosis`: where a run stands, what was found, what to change, what cannot be known."""

from __future__ import annotations

import enum
import json
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from keras_clr.stuck.chance import Chance
from keras_clr.stuck.finding import Finding

_WIDTH = 100


class State(enum.StrEnum):
    """Where a training run stands; the value is the message."""

    LEARNING = "learning"
    AT_CHANCE = "at chance so far"
    FROZEN = "frozen"
    TOO_EARLY = "too early to tell"


@dataclass(frozen=True)
class Diagnosis:
    """What a detector knows about a run.

    Attributes:
        state: Where the run stands.
        findings: What was found, the one to act on first.
        chance: Chance level of the labels, or None if it cannot be known.
        evidence: Numbers behind `state`; a number that is not finite is a string, as in "nan".
        cannot_know: What could not be looked at, and why.

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

    def __repr__(self) -> str:
        codes = ", ".join(finding.code for finding in self.findings)
        return f"Diagnosis({self.state.value!r}, epoch={self.evidence.get('epoch')}, findings=[{codes}])"

    def __str__(self) -> str:
        return self.text()

    def summary(self) -> str:
        """One paragraph: the state, the first finding, and where to read on."""
        if not self.findings:
            return f"{self.state.value}. {_outlook(self)}".rstrip()
        first = self.findings[0]
        return f"{self.state.value} ({first.code}). {first.sentence} See {first.link}"

    def text(self) -> str:
        """The whole report as plain text."""
        epoch = self.evidence.get("epoch")
        at = "" if epoch is None else f", epoch {epoch + 1}"
        lines = [f"StuckDetector: {self.state.value}{at}"]
        lines += [f"  {label:<19} {value}" for label, value in _rows(self)]
        outlook = _outlook(self)
        if outlook:
            lines += ["", *_wrap(outlook, "  ")]
        for finding in self.findings:
            lines += ["", f"{finding.code} [{finding.confidence}]", *_wrap(finding.sentence, "  ")]
            lines += ["  Change:", textwrap.indent(finding.fix.rstrip(), "      ")]
            lines += ["  Cannot know:", *_bullets(finding.cannot_know)]
            lines += [f"  More: {finding.link}"]
        if self.cannot_know:
            lines += ["", "Cannot know:", *_bullets(self.cannot_know)]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings; `from_dict` takes them back."""
        return {
            "state": self.state.value,
            "findings": [{**asdict(finding), "cannot_know": list(finding.cannot_know)} for finding in self.findings],
            "chance": None if self.chance is None else self.chance.to_dict(),
            "evidence": dict(self.evidence),
            "cannot_know": list(self.cannot_know),
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
        )


def _rows(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """Label and value of each number that is there, in reading order."""
    seen = diagnosis.evidence
    chance = diagnosis.chance
    rows: dict[str, str] = {}
    if "training_accuracy" in seen:
        rows["training accuracy"] = (
            f"{_number(seen['training_accuracy'])} ({seen['num_samples']:,.0f} samples in this epoch)"
        )
    if chance is not None:
        rows["chance accuracy"] = (
            f"{chance.accuracy:.4f} (largest of {len(chance.shares)} class shares in "
            f"{chance.num_samples:,} labels; not 1 / units)"
        )
    if "training_loss" in seen:
        entropy = "" if chance is None else f" (entropy of the shares: {chance.cross_entropy:.4f})"
        rows["training loss"] = f"{_number(seen['training_loss'])}{entropy}"
    if "probe_accuracy" in seen:
        rows["probe accuracy"] = f"{_number(seen['probe_accuracy'])} (inference mode)"
    if "wald_statistic" in seen:
        rows["Wald's test"] = (
            f"S = {seen['wald_statistic']:.1f} after {seen['samples_so_far']:,.0f} samples; alarm at "
            f"{seen['wald_threshold']:.2f}, expected after {seen['expected_samples']:,.0f} if stuck"
        )
    return list(rows.items())


def _outlook(diagnosis: Diagnosis) -> str:
    """What the state means, in a sentence or two."""
    seen = diagnosis.evidence
    if diagnosis.state is State.LEARNING:
        return "The training accuracy is above chance."
    if diagnosis.state is State.AT_CHANCE and diagnosis.chance is not None:
        least = diagnosis.chance.accuracy + seen["margin"]
        return (
            "Nothing has been learned so far. That is no statement about what will come: a slow "
            f"start looks the same. A run with an accuracy of at least {least:.4f} from its start "
            f"is called so with a probability of at most {seen['false_alarm']:g}."
        )
    return ""


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4f}"


def _wrap(text: str, indent: str, first: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _bullets(sentences: tuple[str, ...]) -> list[str]:
    return [line for sentence in sentences for line in _wrap(sentence, "    ", "  - ")]
