"""Would a blend of suggestions be better than any of them? Read from the results of `finder_regret.py`; trains nothing.

The regret at a rate between two that were trained is interpolated in log-rate (a method's own steps are counted as for
the neighbours). Priors are the mean log-rate of the oracle on the tuning half, for each optimizer.

    python benchmarks/finder_blends.py [--results benchmarks/results/finder_regret.json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

OURS, VALLEY = "find_lr", "fastai valley"
# Its steps are counted as well: at the same rate, its regret is another one.
LEFT_OUT = ("find_lr, probes of 50",)
SETS = ("tuning", "reporting", "fresh")
# Weights of valley and of the prior.
BLENDS = ((0.0, 0.0), (1.0, 0.0), (0.5, 0.0), (0.0, 0.2), (0.0, 0.35), (0.0, 0.5), (0.4, 0.2), (0.0, 1.0))


class Results:
    """The recorded suggestions, oracles and regrets."""

    def __init__(self, path: Path) -> None:
        results = json.loads(path.read_text())
        self.cells = results["cells"]
        self.seeds = range(results["seeds"])
        self._sets = {name: set(results[name]) for name in ("tuning", "fresh")}

    def part(self, cell: dict) -> str:
        """Which set of tasks a cell belongs to."""
        return next((name for name, tasks in self._sets.items() if cell["task"] in tasks), "reporting")

    def regret(self, cell: dict, seed: int, position: float) -> float:
        """At 10 ** `position`."""
        known: dict[float, list[float]] = {}
        for name, method in cell["methods"].items():
            rate = method["rates"][seed]
            if name not in LEFT_OUT and rate is not None and np.isfinite(rate):
                known.setdefault(round(float(np.log10(rate)), 3), []).append(method["regret"][seed])
        places = sorted(known)
        return float(np.interp(position, places, [np.mean(known[place]) for place in places]))

    def prior(self, optimizer: str) -> float:
        """Mean log-rate of the oracle on the tuning half."""
        cells = [c for c in self.cells if c["optimizer"] == optimizer and self.part(c) == "tuning"]
        return float(np.mean([np.log10(c["oracle_rate"]) for c in cells]))


def blend(results: Results, cell: dict, seed: int, valley: float, prior: float) -> float:
    """Log-rate of a weighted geometric mean; what `valley` and `prior` leave is ours."""
    ours, theirs = (np.log10(cell["methods"][name]["rates"][seed]) for name in (OURS, VALLEY))
    return (1.0 - valley - prior) * ours + valley * theirs + prior * results.prior(cell["optimizer"])


def main() -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results/finder_regret.json")
    results = Results(parser.parse_args().results)
    print("| find_lr | valley | prior | " + " | ".join(SETS) + " |\n|" + " ---: |" * 6)
    for valley, prior in BLENDS:
        means = []
        for part in SETS:
            cells = [cell for cell in results.cells if results.part(cell) == part]
            regrets = [
                results.regret(cell, seed, blend(results, cell, seed, valley, prior))
                for cell in cells
                for seed in results.seeds
            ]
            means.append(np.mean(regrets))
        weights = (1.0 - valley - prior, valley, prior)
        print("| " + " | ".join([*(f"{w:.2f}" for w in weights), *(f"{m:.3f}" for m in means)]) + " |")


if __name__ == "__main__":
    main()
