"""What `StuckDetector` costs: a whole `fit` with it against the same `fit` without.

Two jobs, a tiny one (1000 samples of 2 features, a Dense network of 16 units, 20 epochs) and one of MNIST size (60000
samples of 784 features, 128 units, 3 epochs), each once with labels that can be learned and once with labels that know
nothing of the inputs: at chance the detector looks at the gradient at every epoch's end, which costs most. Pairs
of fits are timed in turn, in both orders, on models that are compiled already; reported are medians over the rounds
of the ratio formed within a round. "New" is a fit of a model that has not been traced yet, each time a new one.

    python benchmarks/stuck_overhead.py [--backends tensorflow jax torch] [--rounds 11] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
import warnings
from pathlib import Path

from callback_overhead import BACKENDS, run_backend

# Samples, features, hidden units, classes, batch size, epochs.
JOBS = {"tiny": (1000, 2, 16, 2, 32, 20), "mnist": (60_000, 784, 128, 10, 128, 3)}
AIMS = {"tiny": 1.05, "mnist": 1.01}


def data(job, signal):
    """Inputs and labels."""
    import numpy as np

    samples, features, _, classes, _, _ = JOBS[job]
    rng = np.random.default_rng(0)
    y = rng.integers(0, classes, samples)
    centres = rng.normal(size=(classes, features))
    x = rng.normal(size=(samples, features)) + (2.0 * centres[y] if signal else 0.0)
    return x.astype("float32"), y


def build(job):
    """A compiled model."""
    import keras

    keras.utils.set_random_seed(0)
    _, features, hidden, classes, _, _ = JOBS[job]
    model = keras.Sequential(
        [
            keras.Input((features,)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(classes, activation="softmax"),
        ]
    )
    # So slow that nothing is learned by heart: the labels alone decide in which state the run is.
    model.compile(
        keras.optimizers.Adam(1e-4 if job == "mnist" else 1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def timed(model, job, x, y, detect):
    """Seconds of one fit, wall and processor, and the state at its end."""
    import keras_clr

    callbacks = [keras_clr.StuckDetector((x[:512], y[:512]))] if detect else []
    *_, batch_size, epochs = JOBS[job]
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=callbacks)
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    return *seconds, callbacks[0].diagnosis_.state.value if detect else None


def measure(job, signal, rounds, fresh_rounds):
    """Medians of one job."""
    import keras

    x, y = data(job, signal)
    model = build(job)
    start = [keras.ops.convert_to_numpy(v).copy() for v in (*model.variables, *model.optimizer.variables)]
    times, states = {"plain": [], "detect": [], "new": [], "new detect": []}, set()

    def one(name, fitted):
        wall, cpu, state = timed(fitted, job, x, y, "detect" in name)
        times[name].append((wall, cpu))
        states.add(state)

    for round_number in range(-1, rounds):
        for name in ("plain", "detect") if round_number % 2 else ("detect", "plain"):
            for variable, value in zip((*model.variables, *model.optimizer.variables), start, strict=False):
                variable.assign(value.copy())
            one(name, model)
        if round_number < 0:  # Tracing.
            times["plain"].clear()
            times["detect"].clear()
    for round_number in range(fresh_rounds):
        for name in ("new", "new detect") if round_number % 2 else ("new detect", "new"):
            one(name, build(job))
    row = {"states": sorted(s for s in states if s)}
    for name, base in (("detect", "plain"), ("new detect", "new")):
        for clock, kind in enumerate(("wall", "cpu")):
            ratios = [a[clock] / b[clock] for a, b in zip(times[name], times[base], strict=True)]
            row[f"{name} {kind} ratio"] = statistics.median(ratios)
            row[f"{name} {kind} ratios"] = [round(r, 4) for r in ratios]
        row[f"{base} seconds"] = statistics.median(a[0] for a in times[base])
        row[f"{name} seconds"] = statistics.median(a[0] for a in times[name])
    return row


def worker(args):
    """Measures one backend and prints JSON."""
    warnings.simplefilter("ignore")
    import keras

    result = {"versions": {"keras": keras.__version__, args.worker: __import__(args.worker).__version__}, "jobs": {}}
    for job in JOBS:
        for signal in (True, False):
            label = f"{job}, {'learning' if signal else 'at chance'}"
            result["jobs"][label] = measure(job, signal, args.rounds, args.fresh_rounds)
    print(json.dumps(result))


def show(backend, result):
    """Prints the table of one backend."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    print(f"\n{backend} ({versions})")
    print(f"{'':22}{'plain s':>9}{'with s':>9}{'wall':>8}{'cpu':>8}{'aim':>7}{'new: wall':>11}  states")
    for label, row in result["jobs"].items():
        print(
            f"{label:22}{row['plain seconds']:9.3f}{row['detect seconds']:9.3f}{row['detect wall ratio']:8.3f}"
            f"{row['detect cpu ratio']:8.3f}{AIMS[label.split(',')[0]]:7.2f}{row['new detect wall ratio']:11.3f}  "
            f"{', '.join(row['states'])}"
        )


def main():
    """Runs the chosen backends one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--fresh-rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write, after each backend")
    parser.add_argument("--worker", choices=BACKENDS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rounds < 1 or args.fresh_rounds < 1:
        parser.error("--rounds and --fresh-rounds must be at least 1")
    if args.worker:
        worker(args)
        return 0
    results = {
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "python": platform.python_version(),
        "rounds": args.rounds,
        "backends": {},
    }
    for backend in args.backends:
        arguments = ["--rounds", str(args.rounds), "--fresh-rounds", str(args.fresh_rounds)]
        result = run_backend(__file__, backend, arguments)
        if result is None:
            return 1
        results["backends"][backend] = result
        show(backend, result)
        if args.out:
            args.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
