"""What a sweep of `find_lr` costs against the same number of bare training steps.

    python benchmarks/finder_cost.py [--backends tensorflow jax torch] [--rounds 9] [--out FILE.json]

Both are timed in turn, round after round; reported are medians and the median of the ratios formed within a round.
The sweep's time has everything in it: taking and giving back the state, true batch losses, the rates.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

from callback_overhead import BACKENDS, build, run_backend


def measure(size, num_steps, rounds):
    """Seconds of the sweep and of as many bare steps: two lists."""
    import keras
    import numpy as np

    import keras_clr

    batch_size, features = {"tiny": (8, 8), "mnist": (128, 784)}[size]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(num_steps * batch_size, features)).astype("float32")
    y = rng.integers(0, 10, len(x))
    model = build(keras, size, 1e-3)
    sweep, bare = [], []
    for _ in range(rounds + 1):  # the first round warms up
        start = time.perf_counter()
        curve = keras_clr.find_lr(
            model, x, y, batch_size=batch_size, min_lr=1e-6, max_lr=1e-2, num_steps=num_steps, probe_steps=0, verbose=0
        )
        sweep.append((time.perf_counter() - start) / len(curve.rates))
        start = time.perf_counter()
        model.fit(x, y, batch_size=batch_size, verbose=0)
        bare.append((time.perf_counter() - start) / num_steps)
    return sweep[1:], bare[1:]


def worker(args):
    """Measures one backend and prints JSON."""
    import keras

    rows = {}
    for size in ("tiny", "mnist"):
        sweep, bare = measure(size, args.steps, args.rounds)
        ratios = [a / b for a, b in zip(sweep, bare, strict=True)]
        rows[size] = {
            "sweep_us": 1e6 * statistics.median(sweep),
            "bare_us": 1e6 * statistics.median(bare),
            "ratio": statistics.median(ratios),
            "ratio_range": [min(ratios), max(ratios)],
        }
    versions = {"keras": keras.__version__, args.worker: __import__(args.worker).__version__}
    print(json.dumps({"versions": versions, "sizes": rows}))


def main():
    """Runs the chosen backends one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--steps", type=int, default=400, help="steps up to max_lr")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write")
    parser.add_argument("--worker", choices=BACKENDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args)
        return 0
    results = {}
    for backend in args.backends:
        result = run_backend(__file__, backend, ["--steps", str(args.steps), "--rounds", str(args.rounds)])
        if result is None:
            return 1
        results[backend] = result
        for size, row in results[backend]["sizes"].items():
            low, high = row["ratio_range"]
            print(
                f"{backend:11}{size:6} sweep {row['sweep_us']:7.0f} us/step, bare {row['bare_us']:7.0f} us/step, "
                f"ratio {row['ratio']:.2f} ({low:.2f} to {high:.2f})   {results[backend]['versions']}"
            )
    if args.out:
        args.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
