"""How many dead networks `StuckDetector(on_stuck="restart")` rescues.

A deep, narrow relu network that is born dead or dies in about two fifths of its runs. Each restart is a new draw: with
k restarts at most, 1 - p^(k + 1) of the runs are expected to come alive, and 1 - p^k of those that died at first, where
p is the share that die, measured on runs of their own.

    python benchmarks/restart_rescue.py [--backend jax] [--runs 150] [--restarts 1 2 3] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
import warnings
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")
EPOCHS = 40


class Net:
    """One compiled network for all runs; each begins with new weights.

    Args:
        depth: Hidden layers.
        width: Units in each.
    """

    def __init__(self, depth, width):
        import keras
        import numpy as np

        self.depth, self.width = depth, width
        rng = np.random.default_rng(0)
        self.y = rng.permutation(np.arange(512) % 2)
        self.x = (rng.normal(size=(512, 4)) + 2.0 * (2 * self.y - 1)[:, None]).astype("float32")
        self.model = self._new()
        self.model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
        self.model.optimizer.build(self.model.trainable_variables)
        self._slots = [keras.ops.convert_to_numpy(v).copy() for v in self.model.optimizer.variables]

    def _new(self):
        import keras

        hidden = [keras.layers.Dense(self.width, "relu", kernel_initializer="he_normal") for _ in range(self.depth)]
        return keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(2, "softmax")])

    def run(self, seed, max_restarts, epochs):
        """Whether it has learned, and how often it was started anew."""
        import keras

        import keras_clr

        keras.utils.set_random_seed(seed)
        for variable, fresh in zip(self.model.variables, self._new().variables, strict=True):
            variable.assign(keras.ops.convert_to_numpy(fresh).copy())
        for variable, value in zip(self.model.optimizer.variables, self._slots, strict=True):
            variable.assign(value)
        detector = (
            keras_clr.StuckDetector((self.x, self.y), on_stuck="restart", max_restarts=max_restarts)
            if max_restarts
            else keras_clr.StuckDetector((self.x, self.y), on_stuck="stop")
        )
        self.model.stop_training = False
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.fit(self.x, self.y, epochs=epochs, batch_size=64, verbose=0, callbacks=[detector])
        answers = self.model.predict(self.x, verbose=0).argmax(axis=-1)
        return {
            "seed": seed,
            "accuracy": float((answers == self.y).mean()),
            "restarts": len(detector.restarts_),
            "state": detector.diagnosis_.state.value,
        }


def alive(run):
    """Half of what there was to gain over chance has been learned."""
    return run["accuracy"] > 0.75


def main():
    """Runs one backend and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=BACKENDS, default="jax")
    parser.add_argument("--runs", type=int, default=150, help="runs of each row")
    parser.add_argument("--restarts", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--width", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write, after each row")
    args = parser.parse_args()
    os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import keras

    from keras_clr.study.statistics import exact_interval

    net = Net(args.depth, args.width)
    results = {
        "backend": args.backend,
        "versions": {"keras": keras.__version__, args.backend: __import__(args.backend).__version__},
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "network": f"{args.depth} hidden relu layers of {args.width} units, he_normal, Adam 0.01",
        "rows": {},
    }
    print(f"{args.backend}: {results['network']}; {args.runs} runs a row\n")
    print("| restarts k | learned | 95 % interval | 1 - p^(k+1) | rescued of those that died | 1 - p^k |")
    print("| --- | --- | --- | --- | --- | --- |")
    share = None
    for k in [0, *args.restarts]:
        begin = time.perf_counter()
        # Seeds of their own: no row knows the others' runs.
        runs = [net.run(1000 * k + seed, k, EPOCHS) for seed in range(args.runs)]
        results["rows"][k] = {"runs": runs, "seconds": time.perf_counter() - begin}
        num_alive = sum(map(alive, runs))
        if k == 0:
            share = results["p"] = 1 - num_alive / len(runs)
        died = [run for run in runs if run["restarts"] or not alive(run)]
        low, high = exact_interval(num_alive, len(runs))
        rescued = f"{sum(map(alive, died))}/{len(died)}" if k else "-"
        print(
            f"| {k} | {num_alive}/{len(runs)} = {num_alive / len(runs):.2f} | {low:.2f} to {high:.2f} "
            f"| {1 - share ** (k + 1):.3f} | {rescued} | {1 - share**k:.3f} |",
            flush=True,
        )
        if args.out:
            args.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
