"""Diagnoses made by hand, for the tests of the reports: no model, no backend."""

import numpy as np

from keras_clr.stuck.chance import chance_level
from keras_clr.stuck.diagnosis import Diagnosis
from keras_clr.stuck.finding import Finding
from keras_clr.stuck.state import State


def finding(code="dead-units", confidence="certificate", what="`dense_1`"):
    return Finding(
        code=code,
        sentence=f"Layer {what} gives the same output for every sample.",
        numbers={"layer": what, "loss": "nan"},
        confidence=confidence,
        cannot_know=(f"Why {what} is dead.",),
        fix=f"# {what}\nlayer = keras.layers.Dense(3)",
        link=f"docs/why-stuck.md#{code}",
    )


def history(states, **columns):
    """One entry an epoch; None for what was not seen."""
    return tuple(
        {"epoch": epoch, "state": state.value}
        | {name: values[epoch] for name, values in columns.items() if values[epoch] is not None}
        for epoch, state in enumerate(states)
    )


CHANCE = chance_level(np.arange(100) % 2)
STATES = (State.TOO_EARLY, State.AT_CHANCE, State.AT_CHANCE, State.FROZEN)
FROZEN = Diagnosis(
    State.FROZEN,
    (finding("no-signal", "hint"), finding(), finding("zero-gradient", "forecast")),
    CHANCE,
    {"epoch": 3, "training_loss": 0.7, "training_accuracy": 0.5, "num_samples": 100.0, "constant_loss": 0.69},
    ("Metric `auc` does not count right answers.",),
    history(
        STATES,
        accuracy=[0.52, 0.5, 0.5, 0.5],
        validation_accuracy=[0.5, 0.5, 0.5, 0.5],
        probe_accuracy=[0.5, None, 0.5, 0.5],
        loss=[0.9, 0.7, 0.7, 0.7],
        learning_rate=[1e-3, 1e-3, 1e-3, 1e-3],
    ),
)
REGRESSION = Diagnosis(
    State.AT_CHANCE,
    chance=chance_level([0.5, 1.5, 2.5]),
    evidence={"epoch": 2, "training_loss": 1.0, "probe_loss": 1.0, "constant_loss": 0.9},
    history=history([State.AT_CHANCE] * 3, loss=[900.0, 3.0, 1.0], probe_loss=[800.0, 2.0, 1.0]),
)
DIVERGED = Diagnosis(
    State.DIVERGED,
    evidence={"epoch": 3, "training_loss": "nan"},
    history=history([State.TOO_EARLY] * 2 + [State.DIVERGED] * 2, loss=[0.7, "inf", 0.8, "nan"]),
)
NOTHING = Diagnosis(State.NOT_TRAINED)
