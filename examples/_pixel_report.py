"""What `pixel_colour.py` finds in its studies: shares with intervals, comparisons, a table, files."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import os
import platform
import statistics
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from _pixel_page import html_page
from _pixel_rows import ROWS, Bench, Measured, peak_memory
from _pixel_words import explain, plural

import keras_clr
from keras_clr.study.statistics import Share, fisher_p_value

QUESTION = "The question: why does the same network learn in some shuffles of its images only?"
LEARNED = 0.95
LEVEL = 0.05  # Of each comparison.
_HEAD = ("row", "frozen", "95 % interval", "learned", "95 % interval", "epochs", "logit moved by", "to the question")


class Report:
    """Collects the rows and writes them.

    Args:
        folder: Where `results.json`, `results.html` and `results.png` go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._start = folder, time.monotonic()
        self._data: dict[str, Any] = {}
        self._rows: dict[str, dict[str, Any]] = {}
        self._studies: dict[str, keras_clr.Study] = {}
        self._curves: dict[str, keras_clr.LRCurve] = {}
        self._problems: dict[str, str] = {}

    def begin(self, options: argparse.Namespace, bench: Bench) -> None:
        """Notes what will be run."""
        backend = keras.backend.backend()
        setting = bench.setting
        self._bench = bench
        self._data = {
            "complete": False,
            "versions": {
                "python": platform.python_version(),
                "keras": keras.__version__,
                "numpy": np.__version__,
                "keras_clr": keras_clr.__version__,
                backend: str(sys.modules[backend].__version__),
            },
            "epochs": "frozen_epoch and median_epochs_to_95 count from 1",
            "learned": "validation accuracy of at least 0.95 at the end",
            "backend": backend,
            "options": {key: str(value) if key == "out" else value for key, value in vars(options).items()},
            "setting": {
                **dataclasses.asdict(setting),
                "base_lr": setting.base_lr,
                "max_lr": setting.max_lr,
                "steps_per_epoch": setting.steps_per_epoch,
            },
            "rows": self._rows,
        }

    @property
    def num_runs(self) -> int:
        """Finished runs of all rows."""
        return sum(len(study.runs) for study in self._studies.values())

    def add(self, name: str, measured: Measured, study: keras_clr.Study) -> str:
        """Takes a row and writes the file anew: whatever happens next, it is kept. Returns the row in a few words."""
        if not self._rows:
            # A picture or a page of other runs beside these results would be taken for theirs.
            for old in ("results.png", "results.html"):
                (self._folder / old).unlink(missing_ok=True)
        self._studies[name] = study
        if measured.curve is not None:
            self._curves[name] = measured.curve
        row = ROWS[name]
        self._rows[name] = {
            **{key: getattr(row, key) for key in ("kind", "what")},
            "rates": list(measured.rates),
            "logit_moves_of_first_update": list(measured.logit_moves),
            "measuring_peak_memory_gb": measured.peak_memory,
            "rate_curve": self._bench.rate_curve(row, measured.rates, study),
            **summarise(study),
        }
        question = self._studies.get("question")
        if name != "question" and question is not None and question.results and study.results:
            self._rows[name] |= compare(study, question)
        self._write()
        return self.outcome(self._rows[name])

    @staticmethod
    def outcome(row: dict[str, Any]) -> str:
        """The row in a few words."""
        failed = f", {plural(row['failed'], 'run')} failed" if row["failed"] else ""
        return f"{row['frozen']} of {row['runs']} frozen, {row['learned']} of {row['runs']} learned{failed}"

    def _write(self) -> None:
        peaks = [run["peak_memory_gb"] for row in self._rows.values() for run in row["curves"] if run["peak_memory_gb"]]
        peaks += [row["measuring_peak_memory_gb"] or 0.0 for row in self._rows.values()]
        self._data |= {
            "seconds": time.monotonic() - self._start,
            "peak_memory_gb": {"this process": peak_memory(), "largest worker": max(peaks, default=None)},
        }
        text = json.dumps(_plain(self._data), indent=1, allow_nan=False)
        self._put("results.json", lambda path: path.write_text(text + "\n", encoding="utf-8"))

    def _put(self, name: str, write: Callable[[Path], Any]) -> None:
        """Writes a file whole or not at all. A full disk must not cost the runs that are in memory."""
        path = self._folder / name
        scratch = path.with_name(name + ".part")
        self._problems.pop(name, None)
        try:
            write(scratch)
            os.replace(scratch, path)
        except OSError as error:
            self._problems[name] = f"cannot write {path}: {error.strerror or error}"
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)

    @property
    def problems(self) -> list[str]:
        """A line for each file that could not be written when it was last tried."""
        return list(self._problems.values())

    def finish(self, complete: bool) -> str:
        """Writes the files; returns what is to be printed."""
        self._data["complete"] = complete
        self._write()
        words = explain(self._data, self._studies)
        files = ["results.json"]
        try:
            from _pixel_picture import draw
        except ImportError:
            picture = ' No picture: matplotlib is not installed (pip install "keras-clr[plot]").'
        else:
            self._put("results.png", functools.partial(draw, self._data))
            files.append("results.png")
            picture = ""
        page = html_page(self._data, self._head(), words, self._studies, self._curves, with_pictures=not picture)
        self._put("results.html", lambda path: path.write_text(page, encoding="utf-8"))
        files.append("results.html")
        written = ", ".join(str(self._folder / name) for name in files if name not in self._problems) or "nothing"
        closing = f"Written: {written}. {self._data['seconds']:.0f} s in all.{self._memory()}{picture}"
        paragraphs = ["\n".join(self._head()), self._table(), *words, closing]
        return "\n\n".join(p if "\n" in p else textwrap.fill(p, 100, break_on_hyphens=False) for p in paragraphs)

    def _memory(self) -> str:
        worker, own = self._data["peak_memory_gb"]["largest worker"], self._data["peak_memory_gb"]["this process"]
        if worker is None or own is None:
            return ""
        return f" Peak memory: {worker:.2f} GB in a worker, {own:.2f} GB in this process."

    def _head(self) -> list[str]:
        data, setting = self._data, self._data["setting"]
        versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
        sizes = (
            f"{setting['size']} x {setting['size']} pixels on {data['options']['background']}, "
            f"{setting['training_images']} + {setting['validation_images']} images, "
            f"{plural(data['options']['epochs'], 'epoch')} of "
            f"{plural(setting['steps_per_epoch'], 'batch', 'batches')}, pixel values from 0 to "
            f"{setting['input_range']:g} (-1 to 1 where a row says so),"
        )
        rates = (
            f"CyclicLR(base_lr={setting['base_lr']:g}, max_lr={setting['max_lr']:g}, "
            f"step_size={setting['step_size']:g}), seed {data['options']['seed']}"
        )
        return [QUESTION, sizes, rates, versions]

    def _table(self) -> str:
        cells = [_HEAD, *table_cells(self._data)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(_HEAD))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
        ]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join([*lines, *(f"{name}: {row['what']}" for name, row in self._rows.items())])


def table_cells(data: dict[str, Any]) -> list[tuple[str, ...]]:
    """The cells of the table, a row each; the first is the row's name."""
    cells = []
    for name, row in data["rows"].items():
        low, high = row["logit_moves_of_first_update"]
        median = row["median_epochs_to_95"]
        cells.append(
            (
                name,
                f"{row['frozen']}/{row['runs']}",
                _percent(row["frozen_interval_95"]),
                f"{row['learned']}/{row['runs']}",
                _percent(row["learned_interval_95"]),
                "-" if median is None else f"{median:g}",
                f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}",
                row.get("verdict", ""),
            )
        )
    return cells


def summarise(study: keras_clr.Study) -> dict[str, Any]:
    """What the table says about the runs of a row, and their curves."""
    runs = study.results
    stuck = [run for run in runs if run.is_stuck]
    learned, frozen = _learned(study), study.stuck_share
    curves = [
        {
            "order_seed": run.order_seed,
            "frozen_epoch": None if run.stuck_epoch is None else run.stuck_epoch + 1,
            "cause": run.cause,
            "seconds": run.seconds,
            **{key: list(run.curves.get(key, ())) for key in ("accuracy", "loss", "val_accuracy", "val_loss")},
            "peak_memory_gb": max(run.curves.get("peak_memory_gb", ()), default=None),
        }
        for run in runs
    ]
    ends = [run["val_accuracy"][-1] for run in curves if run["frozen_epoch"] is None and run["val_accuracy"]]
    return {
        "runs": len(runs),
        "failed": len(study.failed),
        "frozen": frozen.count,
        "frozen_interval_95": list(frozen.interval),
        "causes": study.causes,
        "learned": learned.count,
        "learned_interval_95": list(learned.interval),
        "frozen_after_reaching_95": sum(run.epochs_to(LEARNED, "val_accuracy") is not None for run in stuck),
        "median_val_accuracy_of_others": statistics.median(ends) if ends else None,
        "lowest_val_accuracy_of_others": min(ends, default=None),
        "median_epochs_to_95": study.time_to(LEARNED, "val_accuracy").median if runs else None,
        "curves": curves,
    }


def compare(study: keras_clr.Study, question: keras_clr.Study) -> dict[str, Any]:
    """How a row differs from the question's, by Fisher's exact test on each of the two shares."""
    learned, before = _learned(study), _learned(question)
    frozen, frozen_before = study.stuck_share, question.stuck_share
    p_learned = fisher_p_value((learned.count, learned.total), (before.count, before.total))
    p_frozen = study.compare(question).p_value
    if p_learned < LEVEL:
        verdict = "better" if learned.value > before.value else "worse"
    elif p_frozen < LEVEL:
        verdict = f"freezes {'less' if frozen.value < frozen_before.value else 'more'}"
    else:
        verdict = "no difference seen"
    return {"p_learned": p_learned, "p_frozen": p_frozen, "verdict": verdict}


def _learned(study: keras_clr.Study) -> Share:
    """Runs whose validation accuracy is at least 95 % in the end."""
    reached = sum(np.float32(run.curves["val_accuracy"][-1]) >= np.float32(LEARNED) for run in study.results)
    return Share(int(reached), len(study.results))


def _percent(interval: list[float]) -> str:
    return f"{interval[0]:.0%} to {interval[1]:.0%}"


def _plain(value: Any) -> Any:
    """The same without NaN and infinity, which JSON does not have: they become strings."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    return value
