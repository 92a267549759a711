"""Draws a sick and a healthy run for each cause: two small pictures, and a line in `docs/images/causes/causes.json`.

    python docs/make_cause_pictures.py [CODE ...]    # Of all causes (about ten minutes on JAX), or of these.

The programs are those of `benchmarks/stuck_corpus` and of `cause_programs.py`; a cause gets the first one that has it,
in the first run in which `diagnose` or `StuckDetector` names it, beside the repaired twin from the same seed. A cause
without such a run gets its reason from `WITHOUT_PICTURE`. The documentation shows what is in `causes.json`, and fails
where a cause is missing.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
DOCS = Path(__file__).parent
FOLDER = DOCS / "images/causes"
sys.path[:0] = [str(DOCS), str(DOCS.parent / "benchmarks/stuck_corpus")]

import batches
import cause_programs
import data
import head
import keras
import layers
import numpy as np
import training
from _case import Case, Run
from matplotlib import style
from matplotlib.figure import Figure

import keras_clr
from keras_clr.stuck.causes import CAUSES
from keras_clr.stuck.drawing import draw_accuracy, draw_loss

CASES = [case for module in (cause_programs, head, data, batches, layers, training) for case in module.CASES]
NUM_SEEDS = 5
MOST_MARKERS = 20  # Of a line; more of them are a thick line.
# Programs of the corpus that show it though it is not what was planted, where none has it planted.
SHOWN_BY = {
    "dead-layer": "a layer dead from the start",
    "input-scale": "images of 0 to 255, one sigmoid",
    "saturated-output": "the red and green pixel",
    "zero-gradient": "relu, negative targets",
}
WITHOUT_PICTURE = {
    "one-class-at-a-time": "The same mistake as classes-in-order, seen in training: its picture is there. No program "
    "of the benchmark is caught by this check alone.",
}
_STYLE = {"svg.hashsalt": "keras-clr", "svg.fonttype": "none", "font.size": 8.5, "font.family": "sans-serif"}


@dataclass(frozen=True)
class Watched:
    """What was said of a run, before and in it; `error` if `fit` refused."""

    before: keras_clr.Diagnosis
    during: keras_clr.Diagnosis | None
    error: str = ""

    @property
    def codes(self) -> list[str]:
        """Of all findings, without repetitions."""
        both = (*self.before.findings, *(self.during.findings if self.during else ()))
        return list(dict.fromkeys(finding.code for finding in both))

    @property
    def state(self) -> str:
        """Where the run stood in the end."""
        return "fit refuses" if self.error or self.during is None else self.during.state.value


def watch(run: Run, seed: int, **fit: Any) -> Watched:
    """Trains a program of the corpus with a detector, as the corpus' own runner does."""
    keras.utils.set_random_seed(seed)
    model = run.model()
    run.compile(model)
    samples = run.data(np.random.default_rng(seed))
    validation = None if run.validation is None else run.validation(np.random.default_rng(seed))
    source = run.source(*samples)
    how = {"batch_size": run.batch_size} if len(source) == 2 else {"shuffle": run.shuffle}
    how |= {**run.fit(samples[1]), **fit}
    keras.utils.set_random_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = keras_clr.diagnose(model, *source)
        try:
            detector = keras_clr.StuckDetector(samples)
        except ValueError:  # Labels that it refuses: it watches without them.
            detector = keras_clr.StuckDetector()
        callbacks = [*run.callbacks(), detector]
        try:
            model.fit(*source, epochs=run.epochs, verbose=0, callbacks=callbacks, validation_data=validation, **how)
        except Exception as error:  # What `fit` itself refuses is what there is to show.
            return Watched(before, detector.diagnosis_, f"{type(error).__name__}: {error}".splitlines()[0])
    return Watched(before, detector.diagnosis_)


def candidates(code: str) -> list[Case]:
    """Programs that may show a cause, the likeliest first."""
    named = [case for case in CASES if case.causes[:1] == (code,)]
    also = [case for case in CASES if code in case.causes[1:]]
    shown = [case for case in CASES if case.name == SHOWN_BY.get(code)]
    return [case for case in (*shown, *named, *also) if case.twin is not None]


def find(code: str) -> tuple[Case, int, Watched] | None:
    """The first run in which the cause is named; one that `fit` refuses only if there is no other."""
    refused = None
    for case in candidates(code):
        for seed in range(NUM_SEEDS):
            seen = watch(case.sick, seed, **getattr(case, "fit", {}))
            if code in seen.codes and seen.during is not None and seen.during.history:
                return case, seed, seen
            if code in seen.codes:
                refused = refused or (case, seed, seen)
                break
    return refused


def draw(diagnosis: keras_clr.Diagnosis, path: Path) -> None:
    """Accuracy, if there is any, and loss, by the library's own drawing."""
    has_accuracy = any("accuracy" in seen or "probe_accuracy" in seen for seen in diagnosis.history)
    panels = [draw_accuracy, draw_loss] if has_accuracy else [draw_loss]
    with style.context(["default", _STYLE]):
        figure = Figure(figsize=(3.6, 0.8 + 1.25 * len(panels)), layout="constrained")
        axes = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        legend = {}
        for panel, ax in zip(panels, axes, strict=True):
            panel(diagnosis, ax)
            if panel is draw_accuracy:
                ax.set_ylim(-0.03, 1.03)
            ax.minorticks_off()
            if len(diagnosis.history) > MOST_MARKERS:
                for line in ax.lines:
                    line.set_marker("")
            for patch in ax.patches:
                if patch.get_hatch() == "..":  # Each dot is a dozen curves: 40 kB.
                    patch.set_hatch("--")
            legend |= dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        axes[-1].set_xlabel("epoch")
        figure.legend(legend.values(), legend.keys(), loc="outside lower center", ncols=2, fontsize=7.5)
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    path.write_text(smaller(file.getvalue()))


def smaller(svg: str) -> str:
    """The same picture in fewer bytes: no metadata, unused names, repeated styles, or thousandths of a point."""
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<!DOCTYPE.*?>", "", svg, flags=re.DOTALL)
    used = set(re.findall(r"#(\w+)", svg))
    svg = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", svg)
    # In attributes only: the numbers in the words stay.
    svg = re.sub(r'"[^"]*"', lambda value: re.sub(r"-?\d+\.\d{3,}", lambda m: f"{float(m[0]):.1f}", value[0]), svg)
    styles = dict.fromkeys(re.findall(r' style="([^"]*)"', svg))
    names = {style: f"s{number}" for number, style in enumerate(styles)}
    svg = re.sub(r' style="([^"]*)"', lambda match: f' class="{names[match[1]]}"', svg)
    rules = "".join(f".{name}{{{style}}}" for style, name in names.items())
    svg = svg.replace("</style>", f"{rules}</style>", 1)
    while (flat := re.sub(r"<g>\s*</g>|<g>\s*(<use [^>]*>)\s*</g>", r"\1", svg)) != svg:
        svg = flat
    return re.sub(r"\s*\n\s*", "\n", svg).strip() + "\n"


def describe(code: str) -> dict[str, object]:
    """Runs, draws, and returns what the documentation has to know."""
    found = find(code)
    if found is None and code not in WITHOUT_PICTURE:
        raise LookupError(f"No program shows {code}: add one to cause_programs.py, or a reason to WITHOUT_PICTURE.")
    if found is None:
        return {"reason": WITHOUT_PICTURE[code]}
    case, seed, sick = found
    entry: dict[str, object] = {"program": case.name, "seed": seed, "codes": sick.codes, "state": sick.state}
    healthy = watch(case.twin, seed)
    if sick.error:
        entry["error"] = sick.error
    else:
        draw(sick.during, FOLDER / f"{code}-sick.svg")
    draw(healthy.during, FOLDER / f"{code}-healthy.svg")
    return {**entry, "twin_state": healthy.state, "twin_codes": healthy.codes}


def main() -> int:
    """Draws what was asked for, and says what it did."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("codes", nargs="*", metavar="CODE", help="causes; all by default")
    codes = parser.parse_args().codes or list(CAUSES)
    if unknown := [code for code in codes if code not in CAUSES]:
        parser.error(f"no such cause: {', '.join(unknown)}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    place = FOLDER / "causes.json"
    entries = json.loads(place.read_text()) if place.exists() else {}
    for code in codes:
        entries[code] = describe(code)
        print(code, entries[code], flush=True)
        ordered = {known: entries[known] for known in CAUSES if known in entries}
        place.write_text(json.dumps(ordered, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
