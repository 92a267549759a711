"""How often does `LRCurve.interval()` hold what it is meant to hold?

For each task and optimizer, `find_lr` runs again and again from the same weights, each time on another order of the
batches. Counted is how many intervals hold the median of all suggestions, and how many suggestions of the other sweeps
an interval holds.

    KERAS_BACKEND=jax python benchmarks/finder_interval.py [--tasks wine spirals] [--sweeps 10]
"""

from __future__ import annotations

import argparse

import keras
import numpy as np
from _finder_tasks import OPTIMIZERS, TASKS

from keras_clr import find_lr
from keras_clr.finder.errors import LRFinderError

OF_A_GROUP = ("sgd", "momentum", "adam")  # AdamW is Adam here.


def sweep(task, model, seed: int) -> tuple[float, float, float] | None:
    """Suggestion, lower and upper end; None without a suggestion."""
    keras.utils.set_random_seed(seed)
    curve = find_lr(model, task.x, task.y, batch_size=task.batch_size, verbose=0)
    try:
        return (curve.suggest(), *curve.interval())
    except LRFinderError:
        return None


def main() -> None:
    """Prints a table and the shares over all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", choices=sorted(TASKS), default=sorted(TASKS))
    parser.add_argument("--sweeps", type=int, default=10, help="sweeps per task and optimizer")
    options = parser.parse_args()

    print("| task | optimizer | spread in decades | width in decades | holds the median | holds another sweep's |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    shares = []
    for name in options.tasks:
        task = TASKS[name]()
        for optimizer in OF_A_GROUP:
            model = task.build(seed=0)
            model.compile(optimizer=OPTIMIZERS[optimizer](), loss=task.loss)
            found = [row for seed in range(options.sweeps) if (row := sweep(task, model, seed))]
            rates, low, high = np.log10(np.array(found)).T
            median = np.median(rates)
            others = [(low <= rate) & (rate <= high) for rate in rates]
            apart = ~np.eye(len(rates), dtype=bool)
            shares.append((np.mean((low <= median) & (median <= high)), np.mean(np.array(others)[apart])))
            print(
                f"| {name} | {optimizer} | {rates.std(ddof=1):.2f} | {np.median(high - low):.2f} "
                f"| {shares[-1][0]:.0%} | {shares[-1][1]:.0%} |",
                flush=True,
            )
    holds_median, holds_other = np.mean(shares, axis=0)
    print(f"\nOver all: {holds_median:.0%} of the intervals hold the median, {holds_other:.0%} another suggestion.")


if __name__ == "__main__":
    main()
