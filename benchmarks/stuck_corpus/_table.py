"""Numbers and a Markdown table from the records."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from keras_clr.stuck.causes import ranked
from keras_clr.stuck.finding import Finding
from keras_clr.study.statistics import exact_interval

# Of what there is to gain over chance: a run that has gained less is guessing.
_GUESSING = 0.02


def upper(k: int, n: int, level: float = 0.95) -> float:
    """One-sided Clopper-Pearson bound."""
    return exact_interval(k, n, 2 * level - 1)[1]


def counted(program: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of a sick program that have what was planted: of a lottery, those that failed."""
    return [run for run in program["runs"] if not (program["lottery"] and run["learned"])]


def report(run: dict[str, Any]) -> list[str]:
    """Codes of what `diagnose` said before the run and the detector at its end, ranked as one report."""
    found = [finding.split(":") for finding in (*run["during"], *run["before"])]
    return [f.code for f in ranked(Finding(code, "", {}, sure, (), "", "") for code, sure in found)]


def place(program: dict[str, Any], run: dict[str, Any], what: str = "both") -> int | None:
    """Place of the first right cause in the report, counted from 1."""
    codes = report(run) if what == "both" else [code.split(":")[0] for code in run[what]]
    return next((i for i, code in enumerate(codes, 1) if code in program["causes"]), None)


def is_alarm(run: dict[str, Any]) -> bool:
    """Whether anything was said that is more than a hint: before training, during it, or as a warning."""
    return bool(run["warnings"] or run["alarms"] or any(not f.endswith(":hint") for f in run["before"]))


def is_caught(run: dict[str, Any]) -> bool:
    """Whether a run that does not move was called lost, or given a certain cause."""
    lost = any(state in ("frozen", "diverged") for state in run["states"])
    certain = any(f.endswith(":certificate") for f in (*run["before"], *run["alarms"]))
    return lost or certain or "refused" in run


def share(k: int, n: int) -> str:
    """K of n, and as a percentage."""
    return f"{k}/{n}" + (f" = {k / n:.1%}" if n else "")


def summary(results: dict[str, Any]) -> dict[str, str]:
    """What was aimed at, in words and numbers."""
    sick = [p for p in results["programs"] if p["kind"] == "sick"]
    well = [r for p in results["programs"] if p["kind"] in ("twin", "healthy") for r in p["runs"]]
    alone = [r for p in results["programs"] if p["kind"] == "healthy" for r in p["runs"]]
    rows: dict[str, str] = {"programs": f"{len(sick)} sick, {sum(len(p['runs']) for p in sick)} runs"}
    named = [(p, run) for p in sick if p["causes"] for run in counted(p)]
    for label, what in (("both", "both"), ("`diagnose` alone", "before"), ("`StuckDetector` alone", "during")):
        places = [place(p, run, what) for p, run in named]
        rows[f"right cause first, {label}"] = share(sum(i == 1 for i in places), len(places))
        rows[f"right cause in the first three, {label}"] = share(
            sum(i is not None and i <= 3 for i in places), len(places)
        )
    failed = [run for p in sick for run in p["runs"] if not run["learned"] and "error" not in run]
    still = [run for run in failed if run["still"]]
    rows["weights stand still: called frozen or diverged, or certain"] = share(
        sum(is_caught(r) for r in still), len(still)
    )
    rows["- of these, state frozen or diverged"] = share(
        sum(any(s in ("frozen", "diverged") for s in r["states"]) for r in still), len(still)
    )
    why = [place(p, r) for p, r in named if r["still"] and "error" not in r]
    rows["- of these, right cause first, whatever the state"] = share(sum(i == 1 for i in why), len(why))
    blind = [r for r in failed if r["blind"] and not r["still"]]
    rows["same answer to all, weights move: the same"] = share(sum(is_caught(r) for r in blind), len(blind))
    for label, runs in (("healthy", alone), ("healthy and twins", well)):
        good = [r for r in runs if r["learned"]]
        if not good:
            continue
        alarms, warned = sum(map(is_alarm, good)), sum(bool(r["warnings"]) for r in good)
        low, high = exact_interval(alarms, len(good))
        rows[f"{label}: false alarms"] = (
            f"{share(alarms, len(good))}, 95 % interval {low:.2%} to {high:.2%}, "
            f"one-sided bound {upper(alarms, len(good)):.2%}; "
            f"with a warning {warned}; did not learn (not counted) {len(runs) - len(good)}"
        )
    # A run that has gained a little is not one that Wald's expectation is about.
    guessing = [r for r in failed if r["gain"] is not None and r["gain"] <= _GUESSING]
    ratios = [r["wald"]["samples"] / r["wald"]["expected"] for r in guessing if "wald" in r]
    if ratios:
        rows["samples until `at chance so far` / Wald's expectation"] = (
            f"mean {statistics.fmean(ratios):.2f}, median {statistics.median(ratios):.2f}, "
            f"within 2: {share(sum(x <= 2 for x in ratios), len(ratios))}"
        )
    rows["seconds"] = f"{sum(r['seconds'] for p in results['programs'] for r in p['runs']):.0f}"
    return rows


def table(results: dict[str, Any]) -> str:
    """Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in results.get("versions", {}).items())
    lines = [f"{results.get('backend')} ({versions})", "", "| measured | |", "| --- | --- |"]
    lines += [f"| {name} | {value} |" for name, value in summary(results).items()]
    lines += [
        "",
        "| sick program | from | failed | cause first | in three | first in the report | states at the end |",
        "| --- " * 7 + "|",
    ]
    for p in (p for p in results["programs"] if p["kind"] == "sick"):
        runs = counted(p)
        places = [place(p, run) for run in runs]
        first = _most((report(run) or ["nothing"])[0] for run in runs)
        states = _most(
            run["states"][-1] if run["states"] else ("fit refuses" if "error" in run else "-") for run in runs
        )
        lines.append(
            f"| {p['name']} | {p['source']} | {sum(not r['learned'] for r in p['runs'])}/{len(p['runs'])} "
            f"| {sum(i == 1 for i in places)}/{len(places)} "
            f"| {sum(i is not None and i <= 3 for i in places)}/{len(places)} "
            f"| {first} | {states} |"
        )
    lines += ["", "| healthy program | learned | alarms | at chance so far on the way |", "| --- " * 4 + "|"]
    for p in (p for p in results["programs"] if p["kind"] != "sick"):
        good = [r for r in p["runs"] if r["learned"]]
        slow = sum(any(s not in ("learning", "too early to tell") for s in r["states"]) for r in good)
        said = _most(f for r in good for f in (*r["alarms"], *(b for b in r["before"] if not b.endswith(":hint"))))
        name = p["name"] + (" (twin)" if p["kind"] == "twin" else "")
        lines.append(f"| {name} | {len(good)}/{len(p['runs'])} | {sum(map(is_alarm, good))} {said} | {slow} |")
    return "\n".join(lines)


def _most(words: Iterable[str]) -> str:
    listed = list(words)
    return ", ".join(f"{w} {listed.count(w)}" for w in sorted(set(listed), key=lambda w: -listed.count(w))[:3])
