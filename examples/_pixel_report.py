"""What `pixel_colour.py` says about its runs: shares with intervals, a table, an explanation, a file, a picture."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import json
import math
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
from _pixel_network import VARIANTS, Setting
from _pixel_words import explain, plural

import keras_clr

LEARNED = np.float32(0.95)  # As Keras' metrics are: 190 of 200 is 0.949999988.


def exact_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval for a share: `count` of `total`."""
    tail = (1.0 - confidence) / 2.0

    def at_most(k: int, share: float) -> float:
        return sum(math.comb(total, i) * share**i * (1.0 - share) ** (total - i) for i in range(k + 1))

    def solve(k: int, wanted: float) -> float:
        """The share at which `k` or fewer have the probability `wanted`."""
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2.0
            low, high = (middle, high) if at_most(k, middle) > wanted else (low, middle)
        return low

    lower = 0.0 if count == 0 else solve(count - 1, 1.0 - tail)
    upper = 1.0 if count == total else solve(count, tail)
    return lower, upper


def peak_memory() -> float | None:
    """Largest memory of this process so far in GB; None where the system does not tell."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


class Report:
    """Collects runs and writes them.

    Args:
        folder: Where `results.json` and `results.png` go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._start = folder, time.monotonic()
        self._data: dict[str, Any] = {}
        self._variants: dict[str, dict[str, Any]] = {}
        self._problems: dict[str, str] = {}

    def begin(self, options: argparse.Namespace, setting: Setting) -> None:
        """Notes what will be run."""
        backend = keras.backend.backend()
        self._data = {
            "complete": False,
            "versions": {
                "python": platform.python_version(),
                "keras": keras.__version__,
                "numpy": np.__version__,
                "keras_clr": keras_clr.__version__,
                backend: str(sys.modules[backend].__version__),
            },
            "epochs": "frozen_epoch and median_epochs_to_95 count from 1, diagnosis.evidence.epoch from 0 as in Keras",
            "backend": backend,
            "options": {key: str(value) if key == "out" else value for key, value in vars(options).items()},
            "setting": {
                **dataclasses.asdict(setting),
                "base_lr": setting.base_lr,
                "max_lr": setting.max_lr,
                "steps_per_epoch": setting.steps_per_epoch,
            },
            "variants": self._variants,
        }

    @property
    def num_runs(self) -> int:
        """Finished runs of all variants."""
        return sum(len(variant["runs"]) for variant in self._variants.values())

    def add_variant(self, name: str, logit_move: dict[str, float]) -> None:
        """Opens a variant."""
        self._variants[name] = {"what": VARIANTS[name], "logit_move_of_first_update": logit_move, "runs": []}

    def add_run(self, name: str, run: dict[str, Any], learning_rate: dict[str, list[float]]) -> None:
        """Takes a finished run and writes the file anew: whatever happens next, it is kept."""
        if not self.num_runs:
            # A picture of other runs beside these results would be taken for theirs.
            (self._folder / "results.png").unlink(missing_ok=True)
        self._data["learning_rate"] = learning_rate
        self._variants[name]["runs"].append(run)
        self._write()

    @staticmethod
    def outcome(run: dict[str, Any]) -> str:
        """The run in a few words."""
        if run["frozen_epoch"] is not None:
            return f"frozen, seen in epoch {run['frozen_epoch']}"
        return f"validation accuracy {run['val_accuracy'][-1]:.3f}"

    def _write(self) -> None:
        for variant in self._variants.values():
            if variant["runs"]:
                variant |= summarise(variant["runs"])
        self._data |= {"seconds": time.monotonic() - self._start, "peak_memory_gb": peak_memory()}
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
        """Writes the file and the picture; returns what is to be printed."""
        self._data["complete"] = complete
        self._write()
        paragraphs = [self._head(), self._table(), *explain(self._data)]
        seconds, peak = self._data["seconds"], self._data["peak_memory_gb"]
        memory = "" if peak is None else f" Peak memory: {peak:.2f} GB."
        files = ["results.json"]
        try:
            from _pixel_picture import draw
        except ImportError:
            picture = ' No picture: matplotlib is not installed (pip install "keras-clr[plot]").'
        else:
            self._put("results.png", functools.partial(draw, self._data))
            files.append("results.png")
            picture = ""
        written = ", ".join(str(self._folder / name) for name in files if name not in self._problems) or "nothing"
        paragraphs.append(f"Written: {written}. {seconds:.0f} s in all.{memory}{picture}")
        return "\n\n".join(p if "\n" in p else textwrap.fill(p, 100, break_on_hyphens=False) for p in paragraphs)

    def _head(self) -> str:
        data, setting = self._data, self._data["setting"]
        scaled = [name for name in data["options"]["variants"] if name != "fixed"]
        values = f"from 0 to {setting['input_range']:g}" if scaled else "from -1 to 1"
        if scaled and "fixed" in data["options"]["variants"]:
            values += " (fixed: from -1 to 1)"
        versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
        sizes = (
            f"{setting['size']} x {setting['size']} pixels on {data['options']['background']}, "
            f"{setting['training_images']} + {setting['validation_images']} images, "
            f"{plural(data['options']['epochs'], 'epoch')} of "
            f"{plural(setting['steps_per_epoch'], 'batch', 'batches')}, pixel values {values},"
        )
        rates = (
            f"CyclicLR(base_lr={setting['base_lr']:g}, max_lr={setting['max_lr']:g}, "
            f"step_size={setting['step_size']:g}), seed {data['options']['seed']}"
        )
        question = "The question: why does the same network learn in some shuffles of its images only?"
        return "\n".join([question, sizes, rates, versions])

    def _table(self) -> str:
        rows = [("variant", "frozen", "95 % interval", "accuracy of the others", "epochs to 95 %")]
        for name, variant in self._variants.items():
            runs = variant["runs"]
            if not runs:
                continue
            low, high = variant["frozen_interval_95"]
            median, lowest = variant["median_val_accuracy_of_others"], variant["lowest_val_accuracy_of_others"]
            accuracy = "-" if median is None else f"{median:.3f} (lowest {lowest:.3f})"
            learned = variant["runs_that_learned"]
            epochs = f"{variant['median_epochs_to_95']:g} ({learned} of {plural(len(runs), 'run')})" if learned else "-"
            rows.append((name, f"{variant['frozen']}/{len(runs)}", f"{low:.0%} to {high:.0%}", accuracy, epochs))
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines = [
            "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        lines.insert(1, "   ".join("-" * width for width in widths))
        lines += [f"{name}: {VARIANTS[name]}" for name in self._variants]
        return "\n".join(lines)


def summarise(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What the table says about the runs of a variant."""
    frozen = sum(run["frozen_epoch"] is not None for run in runs)
    free = [run for run in runs if run["frozen_epoch"] is None]
    others = [run["val_accuracy"][-1] for run in free]
    reached = [epoch for epoch in map(epochs_to_learn, free) if epoch is not None]
    ever = sum(epochs_to_learn(run) is not None for run in runs)
    return {
        "frozen": frozen,
        "frozen_after_reaching_95": ever - len(reached),
        "frozen_share": frozen / len(runs),
        "frozen_interval_95": list(exact_interval(frozen, len(runs))),
        "median_val_accuracy_of_others": statistics.median(others) if others else None,
        "lowest_val_accuracy_of_others": min(others) if others else None,
        "runs_that_learned": len(reached),  # and did not freeze later
        "median_epochs_to_95": statistics.median(reached) if reached else None,
    }


def epochs_to_learn(run: dict[str, Any]) -> int | None:
    """First epoch, from 1, with a validation accuracy of at least 0.95; None if there is none."""
    return next((epoch for epoch, value in enumerate(run["val_accuracy"], 1) if np.float32(value) >= LEARNED), None)


def _plain(value: Any) -> Any:
    """The same without NaN and infinity, which JSON does not have: they become strings."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
