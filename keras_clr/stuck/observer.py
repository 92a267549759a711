"""Watches one fit of one model: epoch by epoch, what is seen becomes a `Diagnosis`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from keras_clr._errors import attempt
from keras_clr._keras.optimizers import accumulation_steps, leaf_optimizers
from keras_clr._keras.readings import EpochReading, penalty, read_epoch
from keras_clr._keras.reinitialise import fresh_weights
from keras_clr._keras.tensors import to_numpy
from keras_clr.stuck.causes import ranked
from keras_clr.stuck.causes.head import LOSS_SUMMED
from keras_clr.stuck.checks.run import check_run
from keras_clr.stuck.checks.run_seen import EpochSeen, RunSeen
from keras_clr.stuck.course import OutputCourse, judge, right_answers
from keras_clr.stuck.diagnosis import Diagnosis, State
from keras_clr.stuck.examination import (
    examine_divergence,
    examine_layers,
    examine_model,
    find_misfit,
    find_targets,
    mistakes_are_clear,
    rank,
)
from keras_clr.stuck.finding import Finding, plain
from keras_clr.stuck.probe import Probe, Target
from keras_clr.stuck.probing import Answers, Probing


class Observer:
    """One fit.

    Args:
        model: The compiled and built model, as `on_train_begin` finds it.
        probe: Samples that stand for the data, or None.
        margin: As of `StuckDetector`.
        false_alarm: As of `StuckDetector`.
        num_epochs: Epochs that the fit is to last, None if unknown.
        num_batches: Batches in an epoch, None if unknown.

    Attributes:
        findings: What was found before the first epoch.
        misfit: Why the probe samples cannot be looked at; None if they can, or are not there.
    """

    def __init__(
        self,
        model: Any,
        probe: Probe | None,
        *,
        margin: float | None,
        false_alarm: float,
        num_epochs: int | None,
        num_batches: int | None,
    ) -> None:
        self._model = model
        self._probe = probe
        self._margin, self._false_alarm = margin, false_alarm
        self._num_epochs, self._num_batches = num_epochs, num_batches
        self.findings: tuple[Finding, ...] = ()
        self.misfit: str | None = None
        self._met = model.built
        self._first_penalty, _ = attempt(lambda: penalty(model)) if model.built else (None, None)
        self._targets: list[Target] = []
        self._chance_loss: float | None = None
        self._notes = self._meet()
        self.start_anew()

    def _meet(self) -> list[str]:
        """Gets to know the model's outputs; returns what cannot be known."""
        probe = self._probe
        if probe is None:
            return ["No `probe_data`: the chance level of the labels cannot be known, so there is no verdict."]
        self.misfit, _ = attempt(lambda: find_misfit(self._model, probe)) if self._met else (None, None)
        notes = [self.misfit] if self.misfit else []
        findings, error = attempt(lambda: examine_model(self._model, probe))
        notes += [f"Head, labels and inputs could not be checked: {error}"] if error else []
        self.findings = ranked(findings or ())
        found, error = attempt(lambda: find_targets(self._model, probe))
        notes += [f"The chance level of the labels cannot be known, so there is no verdict: {error}"] if error else []
        self._targets, self._chance_loss = found or ([], None)
        return notes

    def start_anew(self) -> None:
        """To be called when the weights are new: nothing that was counted is true of them."""
        self._courses = [
            OutputCourse(f"output {i}", target.chance, self._margin, self._false_alarm)
            for i, target in enumerate(self._targets)
        ]
        self._epochs: list[EpochSeen] = []
        self._history: tuple[Mapping[str, Any], ...] = ()
        self._num_samples = 0.0
        self._answers: Answers | None = None
        self._probing = Probing(self._model, self._probe, self._targets) if self._probe and self._targets else None
        self._looked_inside: tuple[State, list[Finding]] | None = None

    def observe(self, epoch: int, logs: Mapping[str, Any], reading: EpochReading | None) -> Diagnosis:
        """The diagnosis at an epoch's end.

        Args:
            epoch: Counted from 0.
            logs: Keras' logs of the epoch.
            reading: What the metrics had counted when training was over, None to read them now.
        """
        if not self._met and self._model.built:
            # Its layers, and with them the head, have come to be in the first step.
            self._met = True
            self._notes = self._meet()
            self.start_anew()
            # Its first weights are gone: others like them.
            self._first_penalty, _ = attempt(lambda: penalty(self._model, fresh_weights(self._model, seed=0)))
        notes = list(self._notes)
        loss = float(logs["loss"]) if "loss" in logs else None
        evidence: dict[str, Any] = {"epoch": epoch} | ({} if loss is None else {"training_loss": plain(loss)})
        if reading is None:
            reading, error = attempt(lambda: read_epoch(self._model))
            notes += [f"The metrics could not be read: {error}"] if error else []
        if reading is not None:
            self._count(reading, loss, epoch, evidence, notes)
        rate, _ = attempt(lambda: float(to_numpy(leaf_optimizers(self._model.optimizer)[0].learning_rate)))
        accuracy = self._courses[0].accuracy if self._courses else evidence.get("training_accuracy")
        weighs, _ = attempt(lambda: penalty(self._model))
        seen = EpochSeen(
            epoch, State.TOO_EARLY, loss, accuracy, self._validation(logs), learning_rate=rate, penalty=weighs
        )
        found: list[Finding] = []
        if loss is not None and not math.isfinite(loss):
            seen = replace(seen, state=State.DIVERGED)
        elif self._targets:
            glance, error = attempt(lambda: self._glance(seen, evidence, notes))
            notes += [f"The probe samples could not be looked at: {error}"] if error else []
            seen, found = glance or (replace(seen, state=judge(self._courses, None)), [])
        self._epochs.append(seen)
        self._history += (seen.to_dict(),)
        found += check_run(self._run(evidence))
        found += self._look_inside(seen, notes)
        return Diagnosis(
            seen.state,
            findings=rank([*found, *self.findings], self._model),
            chance=self._targets[0].chance if len(self._targets) == 1 else None,
            evidence=evidence,
            cannot_know=tuple(dict.fromkeys(notes)),
            history=self._history,
        )

    def _count(
        self, reading: EpochReading, loss: float | None, epoch: int, evidence: dict[str, Any], notes: list[str]
    ) -> None:
        """Adds the epoch's right answers to the tests."""
        if loss is not None and reading.num_samples and not np.isclose(reading.loss, loss, rtol=1e-4, equal_nan=True):
            notes.append(
                "Another callback changed the metrics after training: the epoch's right answers cannot be known."
            )
            return
        self._num_samples += reading.num_samples
        notes += [f"Metric `{name}` is weighted: it does not count right answers." for name in reading.unused]
        if not self._courses and reading.accuracies:
            first = reading.accuracies[0]
            if first.count:
                evidence |= {"training_accuracy": first.correct / first.count, "num_samples": first.count}
        for output, course in enumerate(self._courses):
            target = self._targets[output]
            entries = target.chance.num_samples // self._probe.num_labels if self._probe else 1
            course.update(right_answers(reading, output, target, entries, notes), epoch)
        counted = [course for course in self._courses if course.test is not None]
        if self._courses and not counted:
            regression = all(course.chance.accuracy is None for course in self._courses)
            why = "Values are not right or wrong" if regression else "No training accuracy that counts right answers"
            notes.append(
                f"{why}, so no statistical statement: only the loss on the probe samples, and a gradient of 0, say "
                "something."
            )
        if counted:
            evidence |= counted[0].evidence()
        if len(self._courses) > 1:
            evidence["outputs"] = [{"state": course.state.value} | course.evidence() for course in self._courses]

    def _glance(self, seen: EpochSeen, evidence: dict[str, Any], notes: list[str]) -> tuple[EpochSeen, list[Finding]]:
        """The epoch with its state, and the certificate if there is one; looks at the probe if it is worth it."""
        probe, probing = self._probe, self._probing
        state = judge(self._courses, None)
        if probe is None or probing is None:
            return seen, []
        if state is State.LEARNING and seen.epoch & (seen.epoch + 1):
            # While a run learns, only after 1, 2, 4, 8, ... epochs.
            probing.forget()
            return replace(seen, state=state), []
        known = self._num_batches and "num_samples" in evidence
        batches = probe.batches(self._model, math.ceil(evidence["num_samples"] / self._num_batches) if known else None)
        answers = probing.answers(batches, self._courses)
        if not answers.finite:
            return replace(seen, state=State.DIVERGED), []
        self._answers = answers
        if answers.loss is None and len(self._targets) == 1:
            notes.append(
                "The compiled loss gives no loss of single samples: whether the model is better than the best answer "
                "that does not look at the input cannot be known."
            )
        evidence |= {"probe_accuracy": answers.accuracies[0]} if answers.accuracies[0] is not None else {}
        evidence |= {"probe_loss": answers.loss} if answers.loss is not None else {}
        if answers.advantage is not None:
            evidence["constant_loss"] = answers.constant_loss
            evidence |= {"skill": answers.advantage.skill, "skill_in_errors": answers.advantage.errors}
        seen = replace(
            seen,
            state=judge(self._courses, answers.advantage),
            probe_accuracy=answers.accuracies[0],
            probe_loss=answers.loss,
            moved=answers.moved,
        )
        if not self._at_chance(answers):
            return seen, []
        rate = seen.learning_rate or 0.0
        finding = probing.certificate(
            batches,
            answers,
            accuracy=seen.accuracy,
            loss=seen.loss,
            rate=rate,
            highest_rate=max([rate, *(e.learning_rate for e in self._epochs if e.learning_rate)]),
            updates_ahead=self._updates_ahead(seen.epoch),
            notes=notes,
        )
        return (seen, []) if finding is None else (replace(seen, state=State.FROZEN), [finding])

    def _updates_ahead(self, epoch: int) -> float | None:
        """Updates that the fit has left, and at least as many as it has had so far: it may be followed by another."""
        if self._num_epochs is None or not self._num_batches:
            return None
        num_epochs = max(self._num_epochs - 1 - epoch, len(self._epochs) + 1)
        return num_epochs * self._num_batches / accumulation_steps(self._model.optimizer)

    def _at_chance(self, answers: Answers) -> bool:
        """Only then is the gradient looked at: a run that has fitted its data well has none either."""
        counted = [(c, a) for c, a in zip(self._courses, answers.accuracies, strict=True) if a is not None]
        if not counted:
            return answers.advantage is not None and not answers.advantage.clear
        return all(c.near_chance(a) and c.near_chance(c.accuracy or 0.0) for c, a in counted)

    def _look_inside(self, seen: EpochSeen, notes: list[str]) -> list[Finding]:
        """What the layers show, once for each state in which that may say why."""
        state = seen.state
        if state is State.DIVERGED:
            return self._look_for_bad_samples()
        guesses = seen.probe_accuracy is not None and self._courses[0].near_chance(seen.probe_accuracy)
        # Right in training and guessing on the probe: its two modes may disagree.
        stuck = state in (State.AT_CHANCE, State.BELOW_CHANCE, State.CLASS_SHARES, State.COLLAPSED, State.FROZEN)
        if not stuck and not (state is State.LEARNING and guesses):
            self._looked_inside = None
            return []
        if self._looked_inside is None or self._looked_inside[0] is not state:
            probe = self._probe
            if probe is None:
                return []
            looked, error = attempt(
                lambda: examine_layers(self._model, probe, before_training=False, chance_loss=self._chance_loss)
            )
            findings, more = looked or ([], (f"The layers could not be looked at: {error}",))
            notes += more
            self._looked_inside = state, findings
        return self._looked_inside[1]

    def _look_for_bad_samples(self) -> list[Finding]:
        """Samples that no weights give a number for: then the rate is not to blame."""
        probe = self._probe
        found, _ = attempt(lambda: examine_divergence(self._model, probe)) if probe is not None else (None, None)
        return found or []

    def _run(self, evidence: Mapping[str, Any]) -> RunSeen:
        test = self._courses[0].test if self._courses else None
        answers = self._answers
        return RunSeen(
            epochs=self._epochs,
            chance=None if test is None else test.chance,
            margin=None if test is None else test.margin,
            constant_loss=None if answers is None else answers.constant_loss,
            skill=evidence.get("skill"),
            num_samples=self._num_samples,
            epochs_left=None if self._num_epochs is None else self._num_epochs - 1 - evidence["epoch"],
            needed=None if answers is None else answers.needed,
            optimizer=type(leaf_optimizers(self._model.optimizer)[0]).__name__,
            labels_in_order=self._probe is not None and self._probe.in_class_order,
            first_penalty=self._first_penalty,
            summed=any(finding.code == LOSS_SUMMED.code for finding in self.findings),
            clear_mistakes=mistakes_are_clear(self._model, self._targets),
            num_unanswered=0 if answers is None else answers.num_unanswered,
        )

    def _validation(self, logs: Mapping[str, Any]) -> float | None:
        """The validation value of the metric that the first output's course counts."""
        metric = self._courses[0].metric if self._courses else None
        value = None if metric is None else logs.get(f"val_{metric.name}")
        return None if value is None else float(value)
