"""The inputs, and the order in which the classes come. Pure numpy."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from keras_clr._finite import bad_rows
from keras_clr.stuck.causes import data as causes
from keras_clr.stuck.chance import chance_level, class_indices
from keras_clr.stuck.finding import Confidence, Finding

# Root mean square of a feature from which its scale is worth a word. The first sums, and the step that one update
# makes in them, grow with it; standardised features have 1, pixels of 0..255 about 130.
_LARGE = 10.0
# No value is larger than this: pixels divided by 255 twice.
_SMALL = 0.01
_CONSTANT_FEATURES = 0.5
# How much more alike two samples of a batch are than shuffled ones, of what is possible.
_FORECAST_EXCESS, _HINT_EXCESS = 0.5, 0.1
# At most one shuffle in so many may be as uneven.
_ODDS = 100.0
# Entries that are looked at for NaN.
_ENTRIES = 2**28


def check_inputs(
    inputs: Mapping[str, np.ndarray], targets: np.ndarray | None = None, raw: Collection[str] | None = None
) -> list[Finding]:
    """What is wrong with the inputs themselves, if all of them are finite.

    Args:
        inputs: Samples of each input, `(n, ...)`, by name.
        targets: Labels of the same samples, to look for contradictions; others are ignored.
        raw: Names of the inputs that reach a layer's kernel as they are: the scale of others does not matter. None: not
            known, and inputs of whole numbers may be anything.
    """
    arrays = {name: np.asarray(array) for name, array in inputs.items()}
    arrays = {name: array for name, array in arrays.items() if array.dtype.kind in "biuf" and array.size}
    if not arrays:
        return []
    findings = _check_constant(arrays)
    for name, array in arrays.items():
        whole = array.dtype.kind != "f" or bool((array == np.floor(array)).all())
        if name in raw if raw is not None else not whole:
            findings += _check_scale(name, array, whole)
    if targets is not None and not any(f.confidence == Confidence.CERTIFICATE for f in findings):
        findings += _check_contradictions(arrays, np.asarray(targets))
    return findings


def count_non_finite(array: np.ndarray) -> tuple[int, int]:
    """Samples with a NaN or an infinity, and samples looked at: all, or of more than 1 GiB every k-th."""
    rows = array[:: math.ceil(array.size / _ENTRIES)] if array.size else array
    return int(bad_rows(rows).sum()), len(rows)


def check_finite(counts: Mapping[str, tuple[int, int]]) -> list[Finding]:
    """Inputs that are no numbers, from what `count_non_finite` says of each."""
    for name, (num_bad, num_samples) in counts.items():
        if num_bad:
            numbers = {"input": name, "num_bad": num_bad, "num_samples": num_samples}
            words = {"variable": _variable(name, counts)}
            return [causes.NON_FINITE_INPUTS.finding(Confidence.CERTIFICATE, numbers, words)]
    return []


def _check_constant(arrays: Mapping[str, np.ndarray]) -> list[Finding]:
    num_samples = min(len(array) for array in arrays.values())
    if num_samples < 2:
        return []
    changing = [(array != array[:1]).any(axis=0) for array in arrays.values()]
    num_features = sum(part.size for part in changing)
    num_constant = num_features - sum(int(part.sum()) for part in changing)
    numbers = {"num_samples": num_samples, "num_constant": num_constant, "num_features": num_features}
    if num_constant == num_features:
        return [causes.CONSTANT_INPUTS.finding(Confidence.CERTIFICATE, numbers, {"what": "The inputs are"})]
    if num_constant > _CONSTANT_FEATURES * num_features:
        what = f"{num_constant} of {num_features} features are"
        return [causes.CONSTANT_INPUTS.finding(Confidence.HINT, numbers, {"what": what})]
    return []


def _check_scale(name: str, array: np.ndarray, whole: bool) -> list[Finding]:
    values = array.astype(np.float64)
    smallest, largest = float(values.min()), float(values.max())
    features = values.reshape(-1, values.shape[-1]) if values.ndim > 1 else values.reshape(-1, 1)
    sizes = np.sqrt(np.mean(features**2, axis=0))
    top = int(sizes.argmax())
    rms = float(sizes[top])
    small = 0.0 < max(-smallest, largest) < _SMALL
    if rms < _LARGE and not small:
        return []
    pixels = whole and smallest >= 0.0 and _LARGE < largest <= 255.0
    where = "its values" if len(sizes) == 1 else f"its feature {top} (last axis)"
    times = f"about {rms:.3g} times as large as with standardised inputs" if not small else "as small as that"
    if pixels:
        layer = "keras.layers.Rescaling(1.0 / 255.0)"
    else:
        mean, spread = features.mean(axis=0), features.std(axis=0)
        layer = _normalization(mean, np.where(spread > 0, spread, 1.0))
    variable = "x" if name == "input 0" else f'x["{name}"]'
    change = (
        "import keras\n\n"
        f"scale = {layer}  # as the model's first layer, or once, here:\n"
        f"{variable} = keras.ops.convert_to_numpy(scale({variable}))  # and the same for all other data\n"
    )
    numbers = {"input": name, "smallest": smallest, "largest": largest, "rms": rms}
    more = "more" if not small else "less"
    return [
        causes.INPUT_SCALE.finding(
            Confidence.HINT, numbers, {"where": where, "times": times, "more": more, "change": change}
        )
    ]


def _normalization(mean: np.ndarray, spread: np.ndarray) -> str:
    if len(mean) > 8:
        return "keras.layers.Normalization(); scale.adapt(x)"
    numbers = [", ".join(f"{value:.4g}" for value in part) for part in (mean, spread**2)]
    return f"keras.layers.Normalization(mean=[{numbers[0]}], variance=[{numbers[1]}])"


def _variable(name: str, inputs: Collection[str]) -> str:
    return "x" if len(inputs) == 1 else f'x["{name}"]'


def _check_contradictions(arrays: Mapping[str, np.ndarray], targets: np.ndarray) -> list[Finding]:
    """Samples that are the same to the last bit, with different labels."""
    try:
        classes = class_indices(targets)
        chance = chance_level(targets).accuracy
    except ValueError:
        return []
    if any(len(array) != len(classes) for array in arrays.values()) or len(targets) != len(classes):
        return []
    keys = [
        b"".join(np.ascontiguousarray(array[i]).tobytes() for array in arrays.values()) for i in range(len(classes))
    ]
    group = np.unique(np.array([hash(key) for key in keys]), return_inverse=True)[1].ravel()
    table = np.zeros((group.max() + 1, classes.max() + 1), dtype=np.int64)
    np.add.at(table, (group, classes), 1)
    best = float(table.max(axis=1).sum() / len(classes))
    if best == 1.0:
        return []
    numbers: dict[str, Any] = {
        "num_samples": len(classes),
        "num_distinct": len(table),
        "best": best,
        "chance": chance,
    }
    return [causes.CONTRADICTING_LABELS.finding(Confidence.HINT, numbers)]


def check_repeats(num_batches: int, batch_size: int) -> list[Finding]:
    """Batches that are all the same.

    Args:
        num_batches: How many were seen, >= 2.
        batch_size: Samples in each.
    """
    numbers = {"num_batches": num_batches, "batch_size": batch_size}
    return [causes.SAME_BATCH_AGAIN.finding(Confidence.HINT, numbers)]


def check_order(classes_in_order: np.ndarray, batch_size: int) -> list[Finding]:
    """Whether batches, cut from the samples as they come, hold fewer classes than shuffled ones would.

    Measured is the share of pairs within a batch that are of one class. Over all shuffles its mean
    and variance are known exactly (Mantel 1967), and by Cantelli's inequality at most one shuffle in 1 + z^2 lies
    z standard deviations above the mean. Only meaningful for data that are not shuffled.

    Args:
        classes_in_order: Class number of every sample, in the order in which they come, `(n,)`.
        batch_size: Samples in a batch, >= 1; below 16, neighbours within 16 are looked at.
    """
    classes = np.asarray(classes_in_order).reshape(-1)
    size = max(batch_size, 16)
    n = len(classes)
    if n <= size:
        return []
    batches = np.arange(n) // size
    labels = np.unique(classes, return_inverse=True)[1].ravel()
    cells = np.zeros((batches[-1] + 1, labels.max() + 1))
    np.add.at(cells, (batches, labels), 1.0)
    pairs = float((cells * (cells - 1.0)).sum())
    in_batch, of_class = cells.sum(axis=1), cells.sum(axis=0)
    mean, variance = _pairs_if_shuffled(in_batch, of_class, n)
    possible = float((in_batch * (in_batch - 1.0)).sum())
    if variance <= 0.0 or possible == mean:
        return []
    z = (pairs - mean) / math.sqrt(variance)
    excess, odds = (pairs - mean) / (possible - mean), 1.0 + z * z
    if z <= 0.0 or odds < _ODDS or excess < _HINT_EXCESS:
        return []
    numbers = {"batch_size": size, "observed": pairs / possible, "expected": mean / possible, "odds": odds}
    sure = Confidence.FORECAST if excess >= _FORECAST_EXCESS else Confidence.HINT
    return [causes.CLASSES_IN_ORDER.finding(sure, numbers)]


def _pairs_if_shuffled(in_batch: np.ndarray, of_class: np.ndarray, n: int) -> tuple[float, float]:
    """Mean and variance, over all orders, of the number of ordered pairs that share both batch and class."""
    (a1, a3), (b1, b3) = (
        (float((s * (s - 1.0)).sum()), float((s * (s - 1.0) ** 2).sum())) for s in (in_batch, of_class)
    )
    two, three = n * (n - 1.0), n * (n - 1.0) * (n - 2.0)
    four = three * (n - 3.0)
    mean = a1 * b1 / two
    square = 2.0 * a1 * b1 / two + 4.0 * (a3 - a1) * (b3 - b1) / three
    square += (a1 * a1 + 2.0 * a1 - 4.0 * a3) * (b1 * b1 + 2.0 * b1 - 4.0 * b3) / four
    return mean, square - mean * mean
