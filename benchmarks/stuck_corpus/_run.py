"""Runs one program with a detector and writes down what was said, and what was true.

What was true is measured without the detector: the answers at the end against chance, and whether the weights, bit
for bit, or the answers still changed.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import keras
import numpy as np
from _case import Run

import keras_clr

# Of what there is to gain over chance: less has not been learned.
_MARGIN = 0.1
# The weights did not change in this share of the epochs, the last ones: they never will.
_STILL = 1 / 3


class Stage:
    """A program compiled once, for many seeds: nothing is traced twice."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.model = run.model()
        run.compile(self.model)
        self.model.optimizer.build(self.model.trainable_variables)
        self._optimizer = [keras.ops.convert_to_numpy(v).copy() for v in self.model.optimizer.variables]

    def play(self, seed: int) -> dict[str, Any]:
        """One run from new weights and new data."""
        keras.utils.set_random_seed(seed)
        for variable, fresh in zip(self.model.variables, self.run.model().variables, strict=True):
            variable.assign(keras.ops.convert_to_numpy(fresh).copy())
        for variable, value in zip(self.model.optimizer.variables, self._optimizer, strict=True):
            variable.assign(value)
        rng = np.random.default_rng(seed)
        data = self.run.data(rng)
        validation = None if self.run.validation is None else self.run.validation(np.random.default_rng(seed))
        keras.utils.set_random_seed(seed)
        return _play(self.run, self.model, data, validation)


class Truth(keras.callbacks.Callback):
    """What really happened, epoch by epoch; listed after the detector, whose diagnoses it keeps as well."""

    def __init__(self, detector: keras_clr.StuckDetector, x: Any) -> None:
        super().__init__()
        self.detector, self.x = detector, x
        self.weights: list[list[np.ndarray]] = []
        self.outputs: list[np.ndarray] = []
        self.diagnoses: list[keras_clr.Diagnosis] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keeps copies."""
        self.weights.append([keras.ops.convert_to_numpy(v).copy() for v in self.model.trainable_variables])
        outputs = keras.tree.flatten(self.model(self.x, training=False))
        self.outputs.append(
            np.concatenate([keras.ops.convert_to_numpy(o).reshape(_rows(self.x), -1) for o in outputs], 1)
        )
        if self.detector.diagnosis_ is not None:
            self.diagnoses.append(self.detector.diagnosis_)


def _play(run: Run, model: Any, data: tuple[Any, Any], validation: Any) -> dict[str, Any]:
    x, y = data
    begin = time.perf_counter()
    source = run.source(x, y)
    record: dict[str, Any] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = keras_clr.diagnose(model, *source)
        record["before"] = _findings(before)
        try:
            detector = keras_clr.StuckDetector(data)
        except ValueError as error:  # Labels that it refuses: it says so, and there is no more to watch.
            record["refused"] = str(error)[:300]
            detector = keras_clr.StuckDetector()
        truth = Truth(detector, _head(x, 256))
        how = {"batch_size": run.batch_size} if len(source) == 2 else {"shuffle": run.shuffle}
        try:
            model.fit(
                *source,
                epochs=run.epochs,
                verbose=0,
                callbacks=[*run.callbacks(), detector, truth],
                validation_data=validation,
                **how,
                **run.fit(y),
            )
        except Exception as error:  # What `fit` itself refuses is part of the record.
            record["error"] = f"{type(error).__name__}: {str(error)[:200]}"
    record["warnings"] = [
        str(w.message)[:300] for w in caught if issubclass(w.category, keras_clr.StuckTrainingWarning)
    ]
    record["other_warnings"] = sorted({str(w.message)[:200] for w in caught} - set(record["warnings"]))[:5]
    record |= _said(truth.diagnoses) | _happened(run, model, data, truth)
    record["seconds"] = time.perf_counter() - begin
    return record


def _said(diagnoses: list[keras_clr.Diagnosis]) -> dict[str, Any]:
    """The states, everything that was more than a hint, the last report, and the samples until the test spoke."""
    states = [d.state.value for d in diagnoses]
    alarms = sorted({f"{f.code}:{f.confidence}" for d in diagnoses for f in d.findings if f.confidence != "hint"})
    last = diagnoses[-1] if diagnoses else None
    said: dict[str, Any] = {"states": states, "alarms": alarms, "during": [] if last is None else _findings(last)}
    for d in diagnoses:
        if d.evidence.get("wald_statistic", 0.0) >= d.evidence.get("wald_threshold", 1.0):
            said["wald"] = {
                "samples": d.evidence["samples_so_far"],
                "expected": d.evidence["expected_samples"],
                "an_epoch": d.evidence["num_samples"],
            }
            break
    return said


def _happened(run: Run, model: Any, data: tuple[Any, Any], truth: Truth) -> dict[str, Any]:
    """Learned or not, and whether anything still moves."""
    if not truth.outputs:
        return {"gain": None, "learned": False, "still": False, "blind": False}
    num_still = 0
    for earlier in reversed(truth.weights[:-1]):
        if not all(np.array_equal(a, b) for a, b in zip(earlier, truth.weights[-1], strict=True)):
            break
        num_still += 1
    needed = max(2, round(_STILL * run.epochs))
    last = truth.outputs[-needed:]
    blind = all(np.isfinite(o).all() and np.ptp(o, axis=0).max() <= 1e-6 * np.abs(o).max() for o in last)
    gain = _gain(run, keras.tree.flatten(model.predict(data[0], verbose=0)), keras.tree.flatten(data[1]))
    learned = gain is not None and gain > _MARGIN
    return {
        "gain": gain,
        "learned": learned,
        "still": num_still >= needed and not learned,
        "blind": blind and not learned,
        "finite": bool(np.isfinite(truth.outputs[-1]).all()),
    }


def _gain(run: Run, outputs: list[np.ndarray], labels: list[np.ndarray]) -> float | None:
    """What the worst output has gained over guessing, of what there was to gain: 0 for chance, 1 for all right."""
    if not all(np.isfinite(o).all() for o in outputs):
        return None
    return min(_gain_of(run, o, np.asarray(y)) for o, y in zip(outputs, labels, strict=True))


def _gain_of(run: Run, output: np.ndarray, y: np.ndarray) -> float:
    if run.task == "values":
        if y.size == output.size:
            y = y.reshape(output.shape)
        y = np.broadcast_to(y if y.ndim == output.ndim else y.reshape(len(y), -1), output.shape)
        variance = float(np.var(y, axis=0).mean())
        return 1.0 - float(np.square(output - y).mean()) / variance if variance > 0 else 0.0
    if run.task == "multi-label":
        shares = y.mean(axis=0)
        chance = float(np.maximum(shares, 1 - shares).mean())
        right = float(((output > run.threshold) == (y > 0.5)).mean())
    else:
        classes = y.argmax(axis=-1) if y.ndim > 1 and y.shape[-1] > 1 else np.unique(y, return_inverse=True)[1].ravel()
        answers = (output[:, 0] > run.threshold) if run.task == "binary" else output.argmax(axis=-1).ravel()
        chance = float(np.bincount(classes).max() / len(classes))
        right = float((answers == classes).mean())
    return (right - chance) / (1.0 - chance) if chance < 1.0 else 0.0


def _findings(diagnosis: keras_clr.Diagnosis) -> list[str]:
    return [f"{f.code}:{f.confidence}" for f in diagnosis.findings]


def _rows(x: Any) -> int:
    return len(keras.tree.flatten(x)[0])


def _head(x: Any, num_samples: int) -> Any:
    return keras.tree.map_structure(lambda array: array[:num_samples], x)
