"""What one training step of the pixel experiment costs at full size, where the time goes, and what brings it down.

    python benchmarks/pixel_step.py [--backends tensorflow jax] [--rounds 5] [--out FILE.json]

A step is 32 images of 224 x 224 through `Dense(112) -> Dropout -> Flatten -> Dense(3)`, with Adam. The ways are timed
in turn, round after round, each by `train_on_batch`; reported are medians, and the ratio to the plain default formed
within a round. The floor is what the memory allows: the features written once and read again for the gradient, and
Adam's reads and writes of the last kernel, at the bandwidth measured here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from pathlib import Path

from callback_overhead import run_backend

IMAGES, PLACES, UNITS, CLASSES = 32, 224 * 224, 112, 3
DEFAULT = "plain default"


def build(keras, *, chunk=IMAGES, dropout=True, jit_compile="auto"):
    """The question's network, compiled."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.Input((224, 224, 3), dtype="uint8"),
        keras.layers.Rescaling(3.3 / 255),
        keras.layers.Dense(UNITS, activation="relu"),
        *([keras.layers.Dropout(0.4)] if dropout else []),
        keras.layers.Flatten(),
        keras.layers.Dense(CLASSES, activation="softmax"),
        keras.layers.Reshape((CLASSES,)),
    ]
    model = keras.Sequential(layers)
    steps = IMAGES // chunk
    optimizer = keras.optimizers.Adam(1e-5, gradient_accumulation_steps=steps if steps > 1 else None)
    model.compile(optimizer=optimizer, loss="categorical_crossentropy", jit_compile=jit_compile)
    return model


def ways(keras):
    """Name -> function that takes one step."""
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (IMAGES, 224, 224, 3), dtype=np.uint8)
    y = np.eye(CLASSES, dtype=np.float32)[rng.integers(0, 2, IMAGES)]

    def step(model, chunk):
        def take():
            for start in range(0, IMAGES, chunk):
                model.train_on_batch(x[start : start + chunk], y[start : start + chunk])

        return take

    def random_numbers():
        keras.ops.convert_to_numpy(keras.random.uniform((IMAGES, PLACES * UNITS), seed=0)[0, 0])

    made = {
        DEFAULT: step(build(keras), IMAGES),
        "without dropout": step(build(keras, dropout=False), IMAGES),
        "random numbers of the dropout alone": random_numbers,
        "8 images at a time": step(build(keras, chunk=8), 8),
        "4 images at a time": step(build(keras, chunk=4), 4),
        "2 images at a time": step(build(keras, chunk=2), 2),
    }
    other = not build(keras).jit_compile
    made[f"jit_compile={other}"] = step(build(keras, jit_compile=other), IMAGES)
    return made


def bandwidth():
    """Bytes per second that two threads copy, reads and writes counted: the best of five."""
    import numpy as np

    parts = [(np.ones(2**26, np.float32), np.empty(2**26, np.float32)) for _ in range(2)]
    best = 0.0
    for _ in range(5):
        threads = [threading.Thread(target=np.copyto, args=(target, source)) for source, target in parts]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        best = max(best, 2 * sum(source.nbytes for source, _ in parts) / (time.perf_counter() - start))
    return best


def floor_bytes():
    """Bytes that a step has to move: see the module's text."""
    features = 4 * IMAGES * PLACES * UNITS
    kernel = 4 * PLACES * UNITS * CLASSES
    # Forward and backward read the kernel, the gradient is written and read, Adam reads and writes it and its moments.
    return 2 * features + 10 * kernel


def worker(args):
    """Measures one backend and prints JSON."""
    import keras

    speed = bandwidth()
    steps = ways(keras)
    slow = {name for name in steps if name.startswith("jit_compile")}
    times = {name: [] for name in steps}
    for number in range(args.rounds + 1):
        for name, step in steps.items():
            if name in slow and number > 1:
                continue
            start = time.perf_counter()
            step()
            if number:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    rows = {
        name: {
            "seconds": statistics.median(values),
            "range": [min(values), max(values)],
            "ratio_to_default": statistics.median(a / b for a, b in zip(values, times[DEFAULT], strict=False)),
        }
        for name, values in times.items()
    }
    floor = floor_bytes() / speed
    result = {
        "versions": {"keras": keras.__version__, args.worker: __import__(args.worker).__version__},
        "bandwidth_gb_per_s": speed / 1e9,
        "floor_seconds": floor,
        "default_to_floor": rows[DEFAULT]["seconds"] / floor,
        "ways": rows,
    }
    print(json.dumps(result))


def show(backend, result):
    """Prints a backend's table."""
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    print(f"\n{backend} ({versions})")
    for name, row in result["ways"].items():
        low, high = row["range"]
        print(
            f"{name:38}{row['seconds']:8.2f} s ({low:.2f} to {high:.2f}){row['ratio_to_default']:8.2f} of the default"
        )
    print(
        f"memory floor {result['floor_seconds']:.2f} s at {result['bandwidth_gb_per_s']:.1f} GB/s; "
        f"the default takes {result['default_to_floor']:.1f} times that"
    )


def main():
    """Runs the chosen backends one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="+", choices=("tensorflow", "jax"), default=["tensorflow", "jax"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write")
    parser.add_argument("--worker", choices=("tensorflow", "jax"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    if args.worker:
        worker(args)
        return 0
    results = {}
    for backend in args.backends:
        result = run_backend(__file__, backend, ["--rounds", str(args.rounds)])
        if result is None:
            return 1
        results[backend] = result
        show(backend, result)
        if args.out:
            args.out.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
