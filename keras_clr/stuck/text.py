"""A diagnosis as plain text, and the pieces of it that every report shows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from keras_clr.stuck.chance import Chance
from keras_clr.stuck.finding import Confidence, Finding
from keras_clr.stuck.state import State

if TYPE_CHECKING:
    from keras_clr.stuck.diagnosis import Diagnosis

_WIDTH = 100


def plain_text(diagnosis: Diagnosis) -> str:
    """The whole report."""
    causes, hints = causes_and_hints(diagnosis)
    lines = [headline(diagnosis)]
    lines += [f"  {label:<19} {value}" for label, value in rows(diagnosis)]
    meaning = outlook(diagnosis)
    if meaning:
        lines += ["", *_wrap(meaning, "  ")]
    for finding in causes:
        lines += ["", *_finding(finding)]
    if hints:
        lines += ["", "Worth a look:"]
    for finding in hints:
        lines += ["", *_finding(finding)]
    if diagnosis.cannot_know:
        lines += ["", "Cannot know:", *_bullets(diagnosis.cannot_know)]
    return "\n".join(lines)


def one_paragraph(diagnosis: Diagnosis) -> str:
    """The state, the first finding, and where to read on."""
    causes, hints = causes_and_hints(diagnosis)
    state = diagnosis.state.value
    if causes:
        return f"{state} ({causes[0].code}). {causes[0].sentence} See {causes[0].link}"
    said = f"{state}. {outlook(diagnosis)}".rstrip()
    return f"{said} Worth a look ({hints[0].code}): {hints[0].sentence} See {hints[0].link}" if hints else said


def causes_and_hints(diagnosis: Diagnosis) -> tuple[list[Finding], list[Finding]]:
    """The findings that say why, and those that are only worth a look, each in their order."""
    hints = [finding for finding in diagnosis.findings if finding.confidence == Confidence.HINT]
    return [finding for finding in diagnosis.findings if finding not in hints], hints


def headline(diagnosis: Diagnosis) -> str:
    """Who says what, and when."""
    epoch = diagnosis.evidence.get("epoch")
    at = "" if epoch is None else f", epoch {epoch + 1}"
    return f"StuckDetector: {diagnosis.state.value}{at}"


def rows(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """Label and value of each number that is there, in reading order."""
    seen = diagnosis.evidence
    chance = diagnosis.chance
    shown: dict[str, str] = {}
    if "training_accuracy" in seen:
        shown["training accuracy"] = (
            f"{_number(seen['training_accuracy'])} ({seen['num_samples']:,.0f} samples in this epoch)"
        )
    if chance is not None:
        shown |= _chance_row(chance)
    if "training_loss" in seen:
        entropy = "" if chance is None or chance.cross_entropy is None else _entropy(chance.cross_entropy)
        shown["training loss"] = f"{_number(seen['training_loss'])}{entropy}"
    if "probe_accuracy" in seen:
        shown["probe accuracy"] = f"{_number(seen['probe_accuracy'])} (inference mode)"
    if "probe_loss" in seen:
        shown["probe loss"] = f"{_number(seen['probe_loss'])}" + (
            f" (the best constant answer: {_number(seen['constant_loss'])})" if "constant_loss" in seen else ""
        )
    if "wald_statistic" in seen:
        shown["Wald's test"] = (
            f"S = {seen['wald_statistic']:.1f} after {seen['samples_so_far']:,.0f} samples; alarm at "
            f"{seen['wald_threshold']:.2f}, expected after {seen['expected_samples']:,.0f} if stuck"
        )
    for number, output in enumerate(seen.get("outputs", ())):
        shown[f"output {number}"] = output["state"]
        if "training_accuracy" in output:
            shown[f"output {number}"] += (
                f", training accuracy {output['training_accuracy']:.4f}, chance {output['chance_accuracy']:.4f}"
            )
    return list(shown.items())


def outlook(diagnosis: Diagnosis) -> str:
    """What the state means, in a sentence or two."""
    seen, state = diagnosis.evidence, diagnosis.state
    if state is State.NOT_TRAINED and not diagnosis.findings:
        return "Nothing was found that speaks against training."
    if state is State.LEARNING and "training_accuracy" in seen:
        return "The training accuracy is above chance."
    if state is State.LEARNING:
        return "On the probe samples the model is better than any answer that does not look at the input."
    if state is State.SLOW_START:
        errors = seen["skill_in_errors"]
        by = f"{errors:.1f}" if errors < 1000 else "more than 1,000"
        return (
            "No more right answers than by guessing so far, but on the probe samples the loss is better than that of "
            f"the best constant answer by {by} standard errors: it has begun to learn."
        )
    if state is State.COLLAPSED:
        return "The training accuracy had been above chance and has fallen back to it."
    if state is State.CLASS_SHARES:
        return "The loss is that of answering the shares of the labels to every sample."
    if state is State.BELOW_CHANCE:
        return (
            "The training accuracy is below that of any one answer to all samples: the answers are the wrong way round "
            "(labels or outputs are swapped, or the loss falls when they get worse), or of classes that do not occur."
        )
    if state is State.AT_CHANCE and "margin" in seen:
        least = seen["chance_accuracy"] + seen["margin"]
        return (
            "Nothing has been learned so far. That is no statement about what will come: a slow "
            f"start looks the same. A run with an accuracy of at least {least:.4f} from its start "
            f"is called so with a probability of at most {seen['false_alarm']:g}."
        )
    if state is State.AT_CHANCE:
        return "On the probe samples the model is no better than the best answer that does not look at the input."
    return ""


def _finding(finding: Finding) -> list[str]:
    return [
        f"{finding.code} [{finding.confidence}]",
        *_wrap(finding.sentence, "  "),
        "  Change:",
        textwrap.indent(finding.fix.rstrip(), "      "),
        *(["  Cannot know:", *_bullets(finding.cannot_know)] if finding.cannot_know else []),
        f"  More: {finding.link}",
    ]


def _chance_row(chance: Chance) -> dict[str, str]:
    labels = f"{chance.num_samples:,} labels"
    if chance.accuracy is None:
        return {"chance": f"a regression: answering the mean has a squared error of {chance.variance:.4g} ({labels})"}
    how = f"largest of {len(chance.shares)} class shares in {labels}; not 1 / units"
    if chance.kind == "multi-label":
        how = f"the larger share, mean over {len(chance.shares)} columns of {labels}"
    return {"chance accuracy": f"{chance.accuracy:.4f} ({how})"}


def _entropy(cross_entropy: float) -> str:
    return f" (entropy of the shares: {cross_entropy:.4f})"


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


def _bullets(sentences: Sequence[str]) -> list[str]:
    return [line for sentence in sentences for line in _wrap(sentence, "    ", "  - ")]
