"""A study in words: its table, and what is not as it should be."""

from __future__ import annotations

import html
import math
import re
import statistics
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_clr.study.result import Study

_FAILURES = {"error": "raised an error", "died": "died"}


def plain_text(study: Study) -> str:
    """What `print` shows."""
    lines = rows(study)
    width = max(len(name) for name, _ in lines)
    return "\n".join([_title(study), *(f"  {name.ljust(width)}  {text}" for name, text in lines)])


def html_table(study: Study) -> str:
    """What a notebook shows."""
    cells = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in rows(study))
    return f"<table><caption>{html.escape(_title(study))}</caption>{cells}</table>"


def rows(study: Study) -> list[tuple[str, str]]:
    """The table: names and texts."""
    lines = [("stuck", f"{study.stuck_share}")]
    for name, counts in (("causes", study.causes), ("in the end", study.states)):
        if counts:
            lines.append((name, ", ".join(f"{what} {count}" for what, count in counts.items())))
    scores = [] if study.metric is None else [score for score in study.scores() if math.isfinite(score)]
    if study.metric is not None and scores:
        low, middle, high = min(scores), statistics.median(scores), max(scores)
        lines.append((study.metric, f"median {middle:.4g}, from {low:.4g} to {high:.4g}, after the last epoch"))
    for status, what in _FAILURES.items():
        failed = [run for run in study.failed if run.status == status]
        if failed:
            lines.append(("failed", f"{len(failed)} {what}; run {failed[0].index}: {_reason(failed[0].error)}"))
    return lines + [("note", remark) for remark in remarks(study)]


def _reason(error: str) -> str:
    """The line of a traceback that names the exception; a message may have more lines."""
    lines = error.strip().splitlines()
    return ([line for line in lines if re.match(r"[A-Za-z_][\w.]*: ", line)] or lines or [""])[-1]


def remarks(study: Study) -> tuple[str, ...]:
    """What is not as `vary` says."""
    states = [run.initial_state for run in study.runs if run.initial_state]
    vary = study.settings.get("vary")
    found = []
    if vary == "shuffle" and len(set(states)) > 1:
        found.append(
            "The initial weights differ, though vary='shuffle': build_model draws them from a source that "
            "keras.utils.set_random_seed does not reach. The runs differ by more than the order."
        )
    if vary in ("init", "both") and len(states) > 1 and len(set(states)) == 1:
        found.append(
            f"The initial weights are the same in all runs, though vary={vary!r}: build_model sets seeds of its own. "
            "Leave the seeds to the study."
        )
    return tuple(found)


def _title(study: Study) -> str:
    known = [f"{key} {study.settings[key]}" for key in ("vary", "seed", "backend") if key in study.settings]
    return ", ".join([f"Study of {len(study.runs)} runs", *known])
