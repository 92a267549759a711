"""How good is the learning rate that a finder suggests? Regret against a grid search, `find_lr` beside its rivals.

Small real Keras models, 23 tasks x 4 optimizers x 3 seeds. Every method has the same total number of updates: what its
finder takes is missing from the training that follows. Regret = ln(held-out loss after training at the suggestion /
the same at the best rate of a grid of 4 per decade, which takes no finder's steps); a suggestion that fails, or whose
training ends worse than a prediction that ignores the inputs, counts as that prediction. Constants of our method were
tuned on one half of the first 16 tasks; what counts is the other half, and the 7 written afterwards.

Rivals are the functions of fastai, torch-lr-finder, pytorch-lightning and pytorch-ignite, each on a recorded range test
of its own default range; those that are not installed are named and left out.

    pip install keras-clr[jax] scikit-learn
    pip install fastai torch-lr-finder pytorch-lightning pytorch-ignite      # The rivals.
    KERAS_BACKEND=jax python benchmarks/finder_regret.py [--tasks wine spirals] [--steps 1000] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import _finder_rivals as rivals
import keras
import numpy as np
from _finder_lab import CHUNK, SEEDS, Lab, models_of
from _finder_tasks import FRESH, OPTIMIZERS, REPORTING, TASKS, TUNING

from keras_clr import find_lr
from keras_clr.finder.rules import bounds

OURS = "find_lr"
OURS_ALL = {  # Arguments of `find_lr`, and the rule.
    OURS: ({}, None),
    "find_lr, probes of 50": ({"probe_steps": 50}, None),
    "find_lr, smooth-minimum": ({}, "smooth-minimum"),
}
FIXED = "fixed default"
FIXED_RATES = {"sgd": 0.01, "momentum": 0.01, "adam": 0.001, "adamw": 0.001}
SWEEP_STEPS = 100
CLR_CYCLES = 2
CLR_RATIOS = (2.0, 4.0, 10.0)
SMITH_RATIO = 4.0  # Smith 2015: base_lr is a third or a quarter of max_lr. For rivals, who suggest no pair.


def grid(optimizer: str) -> np.ndarray:
    """Rates of the oracle, 4 a decade over 7.75 decades."""
    return 10.0 ** (np.arange(32) / 4 + (-5 if optimizer in ("sgd", "momentum") else -6))


def triangle(base_lr: float, max_lr: float, num_steps: int, total: int) -> np.ndarray:
    """`CLR_CYCLES` triangles in the first `num_steps` of `total` updates."""
    phase = np.arange(total) / num_steps * CLR_CYCLES % 1
    return base_lr + (max_lr - base_lr) * (1 - np.abs(2 * phase - 1))


def our_suggestions(task, make_optimizer, models) -> dict[str, list]:
    """(rate, updates, (base_lr, max_lr)) per seed from the public `find_lr` on the same models and data."""
    model = models[0]
    model.compile(optimizer=make_optimizer(), loss=task.loss)
    first = [keras.ops.convert_to_numpy(v).copy() for v in model.variables]
    found: dict[str, list] = {name: [] for name in OURS_ALL}
    for seed, other in enumerate(models):
        keras.utils.set_random_seed(1000 + seed)
        for variable, value in zip(model.weights, other.weights, strict=True):
            variable.assign(keras.ops.convert_to_numpy(value))  # A copy: jax frees the buffers that training used.
        for name, (arguments, rule) in OURS_ALL.items():
            curve = find_lr(model, task.x, task.y, batch_size=task.batch_size, verbose=0, **arguments)
            steps = len(curve.rates) + sum(len(probe.losses) + probe.diverged for probe in curve.probes)
            try:
                rate = curve.suggest(rule)
                found[name].append((rate, steps, bounds(rate)))
            except RuntimeError as error:
                print(f"    {name}, seed {seed}: {error}", file=sys.stderr)
                found[name].append((None, steps, (None, None)))
    for variable, value in zip(model.variables, first, strict=True):
        variable.assign(value)
    return found


def suggestions(task, optimizer: str, models, lab: Lab, rules) -> dict[str, list]:
    """(rate or None, updates, (base_lr, max_lr)) of every method, per seed."""
    sweeps = [np.geomspace(1e-7, 10, SWEEP_STEPS), np.geomspace(*rivals.LIGHTNING_RANGE, SWEEP_STEPS)]
    losses, _ = lab.run(np.stack(sweeps), SWEEP_STEPS, order=0)
    found = our_suggestions(task, OPTIMIZERS[optimizer], models)
    for name, rule in rules.items():
        which = int(name == "Lightning")
        found[name] = []
        for seed in range(SEEDS):
            rate, steps = rivals.suggestion(rule, sweeps[which], losses[seed, which])
            found[name].append((rate, steps, (rate and rate / SMITH_RATIO, rate)))
    rate = FIXED_RATES[optimizer]
    found[FIXED] = [(rate, 0, (rate / SMITH_RATIO, rate))] * SEEDS
    return found


class Cell:
    """One task with one optimizer: oracle, suggestions, regrets."""

    def __init__(self, name: str, task, optimizer: str, models, rules, num_steps: int) -> None:
        self.task, self.num_steps = task, num_steps
        lab = Lab(task, OPTIMIZERS[optimizer], models)
        rates = grid(optimizer)
        self._constant = self._score(lab.run(rates, num_steps, order=1)[1])
        best = int(self._constant[..., -1].mean(axis=0).argmin())
        oracle = self._constant[..., -1].mean(axis=0)[best]

        tops = rates[np.clip(np.arange(best - 3, best + 7), 0, len(rates) - 1)]
        pairs = [(top / ratio, top) for top in tops for ratio in CLR_RATIOS]
        waves = np.stack([triangle(*pair, num_steps, num_steps) for pair in pairs])
        cyclic = self._score(lab.run(waves, num_steps, order=1)[1])[..., -1].mean(axis=0)

        found = suggestions(task, optimizer, models, lab, rules)
        constant, waves = self._evaluate(lab, found)
        self.report = {
            "task": name,
            "optimizer": optimizer,
            "oracle_rate": float(rates[best]),
            "oracle_score": float(oracle),
            "oracle_pair": pairs[int(cyclic.argmin())],
            "oracle_pair_score": float(cyclic.min()),
            "trivial_score": self._score(np.array(task.trivial)).item(),
            "methods": {
                method: {
                    "rates": [rate for rate, *_ in rows],
                    "pairs": [pair for *_, pair in rows],
                    "updates": [steps for _, steps, _ in rows],
                    "regret": (constant[method] - oracle).tolist(),
                    "cyclic_regret": (waves[method] - cyclic.min()).tolist(),
                }
                for method, rows in found.items()
            },
        }

    def _score(self, losses: np.ndarray) -> np.ndarray:
        """ln(loss), or the loss itself for a log-likelihood, capped at the trivial prediction."""
        scale = np.log if self.task.log else np.asarray
        cap = scale(self.task.trivial)
        with np.errstate(all="ignore"):
            score = scale(losses)
        return np.where(np.isfinite(score) | (score == -np.inf), np.minimum(score, cap), cap)

    def _evaluate(self, lab: Lab, found: dict[str, list]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Scores per method and seed, with a constant and with a cyclical rate, after what is left of the updates.

        What is left is rounded down to a chunk for everybody. No suggestion trains at NaN, and counts as trivial.
        """
        total = self.num_steps
        left = {m: [(total - steps) // CHUNK * CHUNK for _, steps, _ in rows] for m, rows in found.items()}
        rates = np.full((SEEDS, 2 * len(found), total), np.nan)
        for i, (method, rows) in enumerate(found.items()):
            for seed, (rate, _, pair) in enumerate(rows):
                if rate is not None:
                    rates[seed, 2 * i] = rate
                    rates[seed, 2 * i + 1] = triangle(*pair, left[method][seed], total)
        held = self._score(lab.run(rates, total, order=1)[1])
        scores: tuple[dict[str, np.ndarray], dict[str, np.ndarray]] = {}, {}
        for i, method in enumerate(found):
            for which in range(2):
                ends = [held[seed, 2 * i + which, left[method][seed] // CHUNK - 1] for seed in range(SEEDS)]
                scores[which][method] = np.array(ends)
        return scores


def summary(cells: list[dict], method: str, key: str = "regret") -> dict[str, float]:
    """Mean, median and 90 % quantile over cells; share of runs over twice the oracle; failures; updates."""
    values = np.array([cell["methods"][method][key] for cell in cells])
    mean = values.mean(axis=1)
    which = "rates" if key == "regret" else "pairs"
    failed = [
        bool(r is None or (which == "pairs" and r[1] is None)) for c in cells for r in c["methods"][method][which]
    ]
    capped = [
        v + c["oracle_score" if key == "regret" else "oracle_pair_score"] >= c["trivial_score"] - 1e-4
        for c in cells
        for v in c["methods"][method][key]
    ]
    return {
        "mean": float(mean.mean()),
        "median": float(np.median(mean)),
        "p90": float(np.quantile(mean, 0.9)),
        "over_2x": float((values > math.log(2)).mean()),
        "failed": float(np.mean(failed)),
        "capped": float(np.mean(capped)),
        "updates": float(np.mean([c["methods"][method]["updates"] for c in cells])),
    }


def ratio_interval(cells: list[dict], ours: str, other: str, key: str, resamples: int = 4000) -> dict[str, list[float]]:
    """Paired bootstrap over tasks: 95 % intervals of difference and ratio of the mean regrets, ours to theirs."""
    tasks = sorted({cell["task"] for cell in cells})
    table = np.array(
        [[np.mean([c["methods"][m][key] for c in cells if c["task"] == task]) for m in (ours, other)] for task in tasks]
    )
    rows = np.random.default_rng(0).integers(0, len(tasks), (resamples, len(tasks)))
    means = table[rows].mean(axis=1)
    return {
        "difference": np.quantile(means[:, 0] - means[:, 1], [0.025, 0.975]).tolist(),
        "ratio": np.quantile(means[:, 0] / means[:, 1], [0.025, 0.975]).tolist(),
    }


def table(cells: list[dict], key: str) -> str:
    """A Markdown table, best method first."""
    rows = sorted(((summary(cells, m, key), m) for m in cells[0]["methods"]), key=lambda row: row[0]["mean"])
    lines = [
        "| method | mean | median | p90 | over 2x | no answer | trivial | updates | sgd | momentum | adam | adamw |",
        "| --- |" + " ---: |" * 11,
    ]
    for s, method in rows:
        by = [
            np.mean([c["methods"][method][key] for c in cells if c["optimizer"] == o] or [np.nan]) for o in OPTIMIZERS
        ]
        lines.append(
            f"| {method} | {s['mean']:.3f} | {s['median']:.3f} | {s['p90']:.2f} | {s['over_2x']:.0%} "
            f"| {s['failed']:.0%} | {s['capped']:.0%} | {s['updates']:.0f} | "
            + " | ".join(f"{value:.2f}" for value in by)
            + " |"
        )
    return "\n".join(lines)


def report(cells: list[dict]) -> str:
    """All tables, and ours against the best rival."""
    parts = []
    for title, group in (("Fresh tasks", FRESH), ("Reporting half", REPORTING), ("Tuning half", TUNING)):
        chosen = [cell for cell in cells if cell["task"] in group]
        if not chosen:
            continue
        for what, key in (("constant rate", "regret"), ("cyclical rate", "cyclic_regret")):
            parts.append(f"### {title}, {what}\n\n{table(chosen, key)}")
            others = [m for m in chosen[0]["methods"] if m not in OURS_ALL]
            best = min(others, key=lambda m: summary(chosen, m, key)["mean"])
            ratio = summary(chosen, OURS, key)["mean"] / summary(chosen, best, key)["mean"]
            interval = ratio_interval(chosen, OURS, best, key)
            (low, high), (less, more) = interval["ratio"], interval["difference"]
            parts.append(
                f"`find_lr` to the best rival ({best}): ratio of mean regrets {ratio:.2f}, 95 % interval {low:.2f} to "
                f"{high:.2f}; difference {less:+.3f} to {more:+.3f} (paired bootstrap over tasks)."
            )
    return "\n\n".join(parts)


def rounded(value):
    """The same with floats of 5 significant digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=sorted(TASKS), default=sorted(TASKS))
    parser.add_argument("--optimizers", nargs="+", choices=list(OPTIMIZERS), default=list(OPTIMIZERS))
    parser.add_argument("--steps", type=int, default=1000, help=f"updates in all, a multiple of {CHUNK}")
    parser.add_argument("--out", type=Path, help="JSON file for all results")
    options = parser.parse_args()
    if options.steps % CHUNK or options.steps < 500:
        parser.error(f"argument --steps: must be a multiple of {CHUNK}, >= 500. Received: {options.steps}")
    if keras.backend.backend() != "jax":
        parser.error("this benchmark trains many rates at once with jax: set KERAS_BACKEND=jax")

    rules, versions = rivals.load()
    versions |= {"keras": keras.__version__, "python": platform.python_version(), "numpy": np.__version__}
    print("Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    cells, start = [], time.perf_counter()
    for name in options.tasks:
        task = TASKS[name]()
        models = models_of(task)
        cells += [Cell(name, task, opt, models, rules, options.steps).report for opt in options.optimizers]
        print(f"[{time.perf_counter() - start:5.0f} s] {name}", file=sys.stderr, flush=True)
        if options.out:
            result = {
                "versions": versions,
                "steps": options.steps,
                "seeds": SEEDS,
                "tuning": TUNING,
                "fresh": FRESH,
                "cells": cells,
            }
            options.out.write_text(json.dumps(rounded(result)) + "\n")
    print(report(cells))


if __name__ == "__main__":
    main()
