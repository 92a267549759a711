"""Finds the learning-rate range on handwritten digits, trains with it, and compares with the default rate.

    pip install "keras-clr[tensorflow-cpu,plot]" scikit-learn
    python examples/find_lr.py [--runs 5] [--epochs 8] [--out find_lr.png]

Every run starts from its own initial weights and order of the data. The steps that the finder takes are counted: the
run with the default rate trains that much longer.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import os
import sys
from pathlib import Path

BATCH_SIZE = 32


def parse(arguments=None):
    """Options; exit code 2 and one line if they make no sense."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="runs of each way (default: 5)")
    parser.add_argument("--epochs", type=int, default=8, help="epochs after the finder (default: 8)")
    parser.add_argument("--optimizer", choices=("adam", "sgd"), default="adam")
    parser.add_argument("--out", type=Path, default=Path("find_lr.png"), help="picture (default: find_lr.png)")
    options = parser.parse_args(arguments)
    if options.runs < 1 or options.epochs < 1:
        parser.error(f"--runs and --epochs must be at least 1, not {options.runs} and {options.epochs}")
    for package in ("sklearn", "matplotlib"):
        if importlib.util.find_spec(package) is None:
            parser.error(f"{package} is not installed: see the top of this file")
    if not options.out.resolve().parent.is_dir():
        parser.error(f"the folder of --out {options.out} does not exist")
    return options


def build(optimizer, seed):
    """The network, compiled with the optimizer's default rate."""
    import keras

    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"])
    return model


def main(arguments=None):
    """Runs the comparison; prints a table and writes the picture."""
    options = parse(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    import keras_clr
    from keras_clr._plotting import axes_or_new

    digits = load_digits()
    split = train_test_split(digits.data / 16, digits.target, test_size=0.3, random_state=0, stratify=digits.target)
    x, x_test, y, y_test = split
    fit = {"batch_size": BATCH_SIZE, "verbose": 0, "validation_data": (x_test, y_test)}
    losses = {"default rate": [], "rate of find_lr": [], "cycle of find_lr": []}
    for run in range(options.runs):
        model = build(options.optimizer, run)
        curve = keras_clr.find_lr(model, x, y, batch_size=BATCH_SIZE, verbose=int(run == 0))
        print(curve)
        updates = len(curve.rates) + sum(len(probe.losses) for probe in curve.probes)
        extra = math.ceil(updates / curve.updates_per_epoch)
        for way, scores in losses.items():
            model = build(options.optimizer, run)
            epochs, callbacks = options.epochs, []
            if way == "default rate":
                epochs += extra
            elif way == "rate of find_lr":
                model.optimizer.learning_rate = curve.suggest()
            else:
                callbacks = [curve.cyclic_lr(epochs=max(1, options.epochs // 4))]
            history = model.fit(x, y, epochs=epochs, callbacks=callbacks, **fit).history
            scores.append((history["val_loss"][-1], history["val_accuracy"][-1]))
    print(f"\n{options.runs} runs; the default rate got {extra} more epochs, the finder's steps")
    print(f"{'':18}{'test loss (min .. max)':>28}{'test accuracy':>15}")
    for way, scores in losses.items():
        loss, accuracy = np.array(scores).T
        spread = f"{np.median(loss):.3f} ({loss.min():.3f} .. {loss.max():.3f})"
        print(f"{way:18}{spread:>28}{np.median(accuracy):15.3f}")
    axes = curve.plot(axes_or_new(None))
    axes.figure.savefig(options.out, dpi=120)
    print(f"picture of the last curve: {options.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
