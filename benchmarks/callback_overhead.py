"""What a learning rate that changes every batch costs, per batch, against bare `fit`.

Eight ways are timed in turn, round after round, on a tiny Dense model and on one of MNIST size, on each
backend in a process of its own. Reported are medians over the rounds: microseconds of wall time per batch,
and the ratio to bare `fit`, to the floor (a callback that does nothing but assign a float) and to CosineDecay,
each formed within a round so that a machine whose speed drifts cannot tilt it.

    python benchmarks/callback_overhead.py [--backends tensorflow jax torch] [--rounds 21] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")
BARE, FLOOR, COSINE = "bare fit", "assign in begin hook (floor)", "CosineDecay"


def variants(keras, keras_clr):
    """Name -> (learning rate to compile with, function that makes the callbacks of one fit)."""

    class Empty(keras.callbacks.Callback):
        """Per-batch hooks that do nothing."""

        def on_train_batch_begin(self, batch, logs=None):
            """Nothing."""

    class Floor(keras.callbacks.Callback):
        """The least that a callback has to do by Keras' public means."""

        def on_train_batch_begin(self, batch, logs=None):
            """Assigns a float."""
            self.model.optimizer.learning_rate = 1e-3 + 1e-9 * batch

    class OldStyle(keras.callbacks.Callback):
        """How the well-known callback works: rate, counter and history in the batch-end hook."""

        def on_train_begin(self, logs=None):
            """Starts counting."""
            self.iterations, self.history = 0, {}

        def on_train_batch_end(self, batch, logs=None):
            """Records, then sets the next rate."""
            self.iterations += 1
            rate = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
            self.history.setdefault("lr", []).append(rate)
            self.history.setdefault("iterations", []).append(self.iterations)
            for key, value in (logs or {}).items():
                self.history.setdefault(key, []).append(value)
            self.model.optimizer.learning_rate = 1e-3 + 1e-9 * self.iterations

    return {
        BARE: (1e-3, list),
        "empty callback": (1e-3, lambda: [Empty()]),
        FLOOR: (1e-3, lambda: [Floor()]),
        "old style (end hook)": (1e-3, lambda: [OldStyle()]),
        "CyclicLR": (1e-3, lambda: [keras_clr.CyclicLR(1e-4, 1e-3, 200.0)]),
        "CyclicLR, momentum": (1e-3, lambda: [keras_clr.CyclicLR(1e-4, 1e-3, 200.0, cycle_momentum=True)]),
        COSINE: (keras.optimizers.schedules.CosineDecay(1e-3, 10**6), list),
        "CyclicSchedule": (keras_clr.CyclicSchedule(1e-4, 1e-3, 200.0), list),
    }


def build(keras, size, rate):
    """A compiled model: `tiny` is one Dense(10) on 8 features, `mnist` is 784-128-10."""
    keras.utils.set_random_seed(0)
    features, hidden = {"tiny": (8, []), "mnist": (784, [128])}[size]
    layers = [keras.layers.Dense(units, activation="relu") for units in hidden]
    model = keras.Sequential([keras.Input((features,)), *layers, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(rate), loss=loss)
    return model


def measure(size, batches, rounds):
    """Seconds per batch, wall and processor: name -> list over the rounds."""
    import keras
    import numpy as np

    import keras_clr

    batch_size, features = {"tiny": (8, 8), "mnist": (128, 784)}[size]
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batches * batch_size, features)).astype("float32")
    y = rng.integers(0, 10, len(x))
    ways = variants(keras, keras_clr)
    models = {name: build(keras, size, rate) for name, (rate, _) in ways.items()}

    def fit(name):
        callbacks = ways[name][1]()
        wall, cpu = time.perf_counter(), time.process_time()
        models[name].fit(x, y, batch_size=batch_size, shuffle=False, verbose=0, callbacks=callbacks)
        return (time.perf_counter() - wall) / batches, (time.process_time() - cpu) / batches

    for name in ways:
        fit(name)
    times = {name: {"wall": [], "cpu": []} for name in ways}
    names = list(ways)
    for round_number in range(rounds):
        shift = round_number % len(names)
        for name in names[shift:] + names[:shift]:
            wall, cpu = fit(name)
            times[name]["wall"].append(wall)
            times[name]["cpu"].append(cpu)
    return times


def summarise(times):
    """Medians, and medians of the ratios formed round by round."""
    rows = {}
    for name, by_clock in times.items():
        row = {f"{clock}_us": 1e6 * statistics.median(values) for clock, values in by_clock.items()}
        for label, reference in (("bare", BARE), ("floor", FLOOR), ("cosine", COSINE)):
            for clock, values in by_clock.items():
                ratios = [a / b for a, b in zip(values, times[reference][clock], strict=True)]
                row[f"{clock}_vs_{label}"] = statistics.median(ratios)
        rows[name] = row
    return rows


def worker(args):
    """Measures one backend and prints JSON."""
    import keras
    import numpy as np

    result = {"versions": {"keras": keras.__version__, "numpy": np.__version__}}
    backend = __import__(args.worker)
    result["versions"][args.worker] = backend.__version__
    result["sizes"] = {size: summarise(measure(size, args.batches, args.rounds)) for size in ("tiny", "mnist")}
    print(json.dumps(result))


def show(backend, result):
    """Prints the tables of one backend."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    for size, rows in result["sizes"].items():
        print(f"\n{backend}, {size} model ({versions})")
        print(f"{'':30}{'us/batch':>9}{'cpu us':>9}{'/bare':>8}{'/floor':>8}{'/cosine':>8}   cpu: /bare /floor /cosine")
        for name, row in rows.items():
            wall = "".join(f"{row[f'wall_vs_{label}']:8.2f}" for label in ("bare", "floor", "cosine"))
            cpu = "".join(f"{row[f'cpu_vs_{label}']:7.2f}" for label in ("bare", "floor", "cosine"))
            print(f"{name:30}{row['wall_us']:9.0f}{row['cpu_us']:9.0f}{wall}     {cpu}")


def run_backend(script, backend, arguments):
    """What `script --worker backend` prints as JSON, from a process of its own; None if it failed."""
    environment = {**os.environ, "KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, script, "--worker", backend, *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(f"{backend}: failed with exit code {done.returncode}", file=sys.stderr)
        return None
    return json.loads(done.stdout.splitlines()[-1])


def main():
    """Runs the chosen backends one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--batches", type=int, default=400, help="batches in one timed fit")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write")
    parser.add_argument("--worker", choices=BACKENDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.batches < 1 or args.rounds < 1:
        parser.error("--batches and --rounds must be at least 1")
    if args.worker:
        worker(args)
        return 0
    results = {
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "batches": args.batches,
        "rounds": args.rounds,
        "backends": {},
    }
    for backend in args.backends:
        arguments = ["--batches", str(args.batches), "--rounds", str(args.rounds)]
        result = run_backend(__file__, backend, arguments)
        if result is None:
            return 1
        results["backends"][backend] = result
        show(backend, results["backends"][backend])
    if args.out:
        args.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
