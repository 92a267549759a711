"""Evidence from the epochs so far: what the numbers of a run say about its learning rate and its data. Pure."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from keras_clr.stuck.causes.data import SHUFFLE
from keras_clr.stuck.causes.training import (
    DIVERGED,
    NO_SIGNAL,
    ONE_CLASS_AT_A_TIME,
    PENALTY_DOMINATES,
    RATE_TOO_HIGH,
    RATE_TOO_LOW,
    RATE_ZERO,
    SAME_CODE,
    VALIDATION_AT_CHANCE,
    ZERO_SAMPLE_WEIGHTS,
)
from keras_clr.stuck.checks.run_seen import STUCK, RunSeen
from keras_clr.stuck.diagnosis import State
from keras_clr.stuck.finding import Confidence, Finding

# Epochs in a row before a comparison of epochs means anything.
_EPOCHS = 3
# The loss, by that of the best constant answer: beyond this, it is not the labels that are hard.
_FAR_ABOVE = 2.0
# An extrapolation that falls short by this factor is a forecast: speeds change, but not so much.
_SAFETY = 10.0
# Of the loss on the probe samples: a training loss below this is none.
_NOTHING = 1e-3
# A model this close to perfect has no training loss to speak of either.
_FITTED = 0.5
# A penalty that has fallen below this share of its first value: weights of a tenth of their size (L2).
_SHRUNK = 0.01
# A penalty of so many times of what there is to gain.
_LARGE_PENALTY = 10.0


def check_run(run: RunSeen) -> list[Finding]:
    """Findings from the course of a run."""
    found = [
        _diverged(run),
        _zero_weights(run) or _light_mistakes(run),
        _penalty(run),
        _rate_zero(run),
        _rate_too_high(run),
        _rate_too_low(run),
        _one_class_at_a_time(run),
        _validation_at_chance(run),
        _no_signal(run),
    ]
    return [finding for finding in found if finding is not None]


def _diverged(run: RunSeen) -> Finding | None:
    last = run.epochs[-1]
    if last.state is not State.DIVERGED:
        return None
    finite = [e for e in run.epochs if e.loss is not None and math.isfinite(e.loss)]
    before = f" (it was {finite[-1].loss:.4g} in epoch {finite[-1].epoch + 1})" if finite else ""
    numbers = {"epoch": last.epoch + 1, "rate": last.learning_rate}
    words = {"what": "The loss is not a finite number any more" if finite else "The loss was not a finite number"}
    return DIVERGED.finding(Confidence.CERTIFICATE, numbers, words | {"before": before} | _lower(run))


def _zero_weights(run: RunSeen) -> Finding | None:
    """A training loss that holds nothing but the penalty, though the same loss on the probe is that of guessing."""
    last = run.epochs[-1]
    if last.loss is None or not last.probe_loss or not last.probe_loss > 0.0:
        return None
    if last.accuracy == 1.0 or (last.accuracy is None and last.state is State.LEARNING):
        # It may have fitted its own data perfectly.
        return None
    if run.skill is not None and run.skill > 1.0 - _FITTED:
        return None
    most = _NOTHING * last.probe_loss
    # Before the first epoch, and at each one's end.
    penalties = [penalty or 0.0 for penalty in (run.first_penalty, *(epoch.penalty for epoch in run.epochs))]
    if any(abs(last.loss - penalty) > most for penalty in penalties[-2:]):
        return None
    # A loss that has fallen to nothing had something to teach.
    for epoch, around in zip(run.epochs, pairwise(penalties), strict=True):
        if epoch.loss is None or epoch.loss > max(around) + most:
            return None
    numbers = {"loss": last.loss - penalties[-1], "probe_loss": last.probe_loss}
    without = " without the penalty on the weights" if penalties[-1] else ""
    story = (
        f"The training loss of the epoch{without} was {numbers['loss']:.4g}, but without sample weights that on the "
        f"probe samples is {last.probe_loss:.4g}: the training samples weigh nothing, so they teach nothing."
    )
    return ZERO_SAMPLE_WEIGHTS.finding(Confidence.FORECAST, numbers, {"story": story})


def _light_mistakes(run: RunSeen) -> Finding | None:
    """A cross-entropy too small for the share of wrong answers, and a class that is never answered."""
    last = run.epochs[-1]
    if not run.clear_mistakes or not run.num_unanswered or last.loss is None or last.accuracy is None:
        return None
    if last.state not in (*STUCK, State.COLLAPSED):
        return None
    # A wrong answer gives its true class a probability of at most 1/2.
    least = (1.0 - last.accuracy) * math.log(2.0)
    if not last.loss * _SAFETY < least:
        return None
    numbers = {"loss": last.loss, "least": least, "accuracy": last.accuracy}
    story = (
        f"In training {1.0 - last.accuracy:.1%} of the answers were wrong, which costs at least {least:.4g} if all "
        f"samples weigh 1, but the loss was {last.loss:.4g}: the classes that are answered wrongly weigh next to "
        f"nothing, or all do, and {run.num_unanswered} of them no probe sample is answered with."
    )
    return ZERO_SAMPLE_WEIGHTS.finding(Confidence.FORECAST, numbers, {"story": story})


def _penalty(run: RunSeen) -> Finding | None:
    """Weights that their penalty has pulled to nothing, or does."""
    last, constant, first = run.epochs[-1], run.constant_loss, run.first_penalty
    if last.state not in (*STUCK, State.COLLAPSED) or last.penalty is None or constant is None or not constant > 0.0:
        return None
    numbers = {"penalty": last.penalty, "constant_loss": constant}
    if first is not None and first > constant and last.penalty < _SHRUNK * first:
        consequence = f"Untrained weights cost {first:.3g}: they have been pulled to 0, and the answers with them."
        words = {"consequence": consequence}
        return PENALTY_DOMINATES.finding(Confidence.FORECAST, numbers | {"first_penalty": first}, words)
    if last.penalty < _LARGE_PENALTY * constant:
        return None
    consequence = "To make the weights smaller pays more than to learn."
    return PENALTY_DOMINATES.finding(Confidence.FORECAST, numbers, {"consequence": consequence})


def _rate_zero(run: RunSeen) -> Finding | None:
    last = run.epochs[-2:]
    if len(last) < 2 or any(e.learning_rate != 0.0 for e in last) or last[-1].moved != 0.0:
        return None
    num_epochs = next((i for i, e in enumerate(reversed(run.epochs)) if e.learning_rate != 0.0), len(run.epochs))
    return RATE_ZERO.finding(Confidence.FORECAST, {"num_epochs": num_epochs})


def _rate_too_high(run: RunSeen) -> Finding | None:
    last = run.epochs[-1]
    if last.learning_rate is None:
        return None
    numbers: dict[str, Any] = {"epoch": last.epoch + 1, "rate": last.learning_rate}
    fell = last.state is State.COLLAPSED or (
        last.state is State.FROZEN and any(e.state in (State.LEARNING, State.COLLAPSED) for e in run.epochs)
    )
    if fell and last.accuracy is not None:
        best = max((e for e in run.epochs if e.accuracy is not None), key=lambda e: e.accuracy or 0.0)
        numbers |= {"best": best.accuracy, "accuracy": last.accuracy}
        story = (
            f"The training accuracy had been {best.accuracy:.4f} (epoch {best.epoch + 1}) and is {last.accuracy:.4f} "
            "now, which is chance: updates of this size undo what was learned."
        )
        return RATE_TOO_HIGH.finding(Confidence.FORECAST, numbers, {"story": story} | _lower(run))
    # Without what the weights themselves cost: that says nothing about the answers.
    losses = [e.loss - (e.penalty or 0.0) for e in run.epochs[-_EPOCHS:] if e.loss is not None]
    constant = run.constant_loss
    if last.state is State.LEARNING or constant is None or not constant > 0 or len(losses) < _EPOCHS:
        return None
    if run.summed:
        # A sum cannot be compared with a mean.
        return None
    if min(losses) < _FAR_ABOVE * constant or losses[-1] < losses[0]:
        return None
    numbers |= {"loss": losses[-1], "constant_loss": constant}
    story = (
        f"For {_EPOCHS} epochs the training loss, {losses[-1]:.4g} now, has been more than {_FAR_ABOVE:g} times that "
        f"of the best constant answer ({constant:.4g}), and it is not falling: updates overshoot."
    )
    return RATE_TOO_HIGH.finding(Confidence.HINT, numbers, {"story": story} | _lower(run))


def _rate_too_low(run: RunSeen) -> Finding | None:
    last = run.epochs[-1]
    moves = [e.moved for e in run.epochs if e.moved is not None]
    if last.state not in (*STUCK, State.SLOW_START) or len(moves) < _EPOCHS:
        return None
    if run.epochs_left is None or run.needed is None or not last.learning_rate:
        return None
    # At the end of a fit the question is whether another one as long would help.
    ahead = run.epochs_left or len(run.epochs)
    moved = max(moves)
    # A run that leaves a saddle speeds up by about the same factor in each epoch.
    growth = max(1.0, (moves[-1] / moves[0]) ** (1.0 / (len(moves) - 1))) if moves[0] > 0.0 else 1.0
    reachable = moved * float(np.sum(growth ** np.arange(1.0, min(ahead, 10_000) + 1)))
    if not reachable * _SAFETY < run.needed:
        return None
    numbers = {
        "moved": moved,
        "reachable": reachable,
        "needed": run.needed,
        "share": run.margin or 0.0,
        "epochs_ahead": ahead,
        "rate": last.learning_rate,
    }
    time = f"the {ahead} epochs left" if run.epochs_left else f"{ahead} more epochs"
    return RATE_TOO_LOW.finding(Confidence.FORECAST, numbers, {"time": time})


def _one_class_at_a_time(run: RunSeen) -> Finding | None:
    last = run.epochs[-1]
    if not run.labels_in_order or run.chance is None or run.margin is None:
        return None
    if last.accuracy is None or last.probe_accuracy is None:
        return None
    if last.accuracy < run.chance + 3 * run.margin or last.probe_accuracy > run.chance + run.margin:
        return None
    numbers = {"accuracy": last.accuracy, "probe": last.probe_accuracy, "chance": run.chance}
    return ONE_CLASS_AT_A_TIME.finding(Confidence.FORECAST, numbers)


def _validation_at_chance(run: RunSeen) -> Finding | None:
    last = run.epochs[-_EPOCHS:]
    if run.chance is None or run.margin is None or len(last) < _EPOCHS:
        return None
    for e in last:
        if e.accuracy is None or e.validation_accuracy is None or e.accuracy < run.chance + 3 * run.margin:
            return None
        if e.validation_accuracy > run.chance + run.margin:
            return None
    numbers = {
        "accuracy": last[-1].accuracy,
        "validation": last[-1].validation_accuracy,
        "chance": run.chance,
        "num_epochs": _EPOCHS,
    }
    words = {"in_order": "", "change": SAME_CODE}
    if run.labels_in_order:
        words = {
            "in_order": (
                " The probe's labels come in the order of their classes: if `validation_split` is used, it takes the "
                "last samples, and with them classes that training does not see."
            ),
            "change": f"# With `validation_split`, shuffle before:\n{SHUFFLE}\n{SAME_CODE}",
        }
    return VALIDATION_AT_CHANCE.finding(Confidence.FORECAST, numbers, words)


def _no_signal(run: RunSeen) -> Finding | None:
    last = run.epochs[-1]
    if last.state is not State.CLASS_SHARES or last.probe_loss is None or run.skill is None:
        return None
    numbers = {
        "loss": last.probe_loss,
        "constant": run.constant_loss,
        "skill": run.skill,
        "num_samples": run.num_samples,
    }
    return NO_SIGNAL.finding(Confidence.HINT, numbers)


def _lower(run: RunSeen) -> dict[str, Any]:
    rates = [e.learning_rate for e in run.epochs if e.learning_rate]
    return {"optimizer": run.optimizer, "lower_rate": (max(rates) if rates else 1e-3) / 10}


def needed_move(outputs: np.ndarray, classes: np.ndarray, threshold: float, share: float) -> float | None:
    """How far an answer must move, in one unit's output, for `share` of the samples to become right.

    Args:
        outputs: Model outputs, shape (n, k).
        classes: Class numbers, shape (n,).
        threshold: Of a single unit.
        share: Share of all samples, in (0, 1).

    Returns:
        The distance, or None if fewer than that are wrong.
    """
    if outputs.shape[1] == 1:
        gaps = np.where(classes == 1, threshold - outputs[:, 0], outputs[:, 0] - threshold)
    else:
        # Both the largest unit and the true one may move.
        gaps = (outputs.max(axis=1) - outputs[np.arange(len(classes)), classes]) / 2
    gaps = np.sort(np.maximum(gaps, 0.0))[int((gaps <= 0).sum()) :]
    place = math.ceil(share * len(outputs)) - 1
    return float(gaps[place]) if place < len(gaps) else None
