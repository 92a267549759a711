"""`Run`: what became of one run of a study."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_clr.stuck.diagnosis import Diagnosis
from keras_clr.stuck.finding import plain
from keras_clr.study.plan import RunPlan

# Names of metrics that rise as a model gets better; all else is an error that falls.
_RISING = ("acc", "auc", "precision", "recall", "f1", "iou", "r2", "cosine")


def rises(metric: str) -> bool:
    """Whether more of this metric is better, by its name."""
    return any(part in metric.lower() for part in _RISING)


@dataclass(frozen=True)
class Run:
    """One run of a study. Immutable.

    Attributes:
        index: Number of the run, from 0.
        init_seed: Of its initial weights and of what training draws besides the order.
        order_seed: Of the order of its samples.
        status: "finished"; "nan" if its training loss ended as NaN or infinite; "error" if something raised, "died" if
            its process did.
        curves: Values of each metric after each epoch.
        stuck_epoch: 0-based epoch at whose end it was called frozen or diverged; None if it was not.
        diagnosis: The detector's last one; None if no epoch ended.
        initial_state: Another one for other initial weights.
        seconds: Wall time. Left out when runs are compared: all else is the same for any number of workers.
        error: Why there is no result; "" if there is.
    """

    index: int
    init_seed: int
    order_seed: int
    status: str
    curves: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    stuck_epoch: int | None = None
    diagnosis: Diagnosis | None = None
    initial_state: str = ""
    seconds: float = field(default=0.0, compare=False)
    error: str = ""

    @classmethod
    def from_outcome(cls, plan: RunPlan, outcome: Mapping[str, Any]) -> Run:
        """What a worker told, or was told of it."""
        curves = {name: tuple(curve) for name, curve in outcome.get("curves", {}).items()}
        error = outcome.get("error") or outcome.get("died") or ""
        last_loss = (curves.get("loss") or (0.0,))[-1]
        status = "died" if "died" in outcome else "error" if error else "finished"
        diagnosis = outcome.get("diagnosis")
        return cls(
            plan.index,
            plan.init_seed,
            plan.order_seed,
            status="nan" if status == "finished" and not math.isfinite(last_loss) else status,
            curves=curves,
            stuck_epoch=outcome.get("stuck_epoch"),
            diagnosis=None if diagnosis is None else Diagnosis.from_dict(diagnosis),
            initial_state=outcome.get("initial_state", ""),
            seconds=outcome.get("seconds", 0.0),
            error=error,
        )

    @property
    def has_result(self) -> bool:
        """Whether it was trained to its end, whatever came out."""
        return self.status in ("finished", "nan")

    @property
    def is_stuck(self) -> bool:
        """Whether it was called frozen or diverged."""
        return self.stuck_epoch is not None

    @property
    def state(self) -> str:
        """Where it stood in the end, in the words of `Diagnosis`; the status where there is none."""
        return self.status if self.diagnosis is None else self.diagnosis.state.value

    @property
    def cause(self) -> str | None:
        """Code of the finding to act on first; None without a finding."""
        return self.diagnosis.findings[0].code if self.diagnosis and self.diagnosis.findings else None

    def epochs_to(self, target: float, metric: str) -> int | None:
        """Epochs until a metric first was as good as `target`; None if it never was."""
        sign = 1 if rises(metric) else -1
        # As Keras' metrics are, in single precision: 190 of 200 is 0.949999988.
        reached = sign * np.array(self.curves.get(metric, ()), np.float32) >= sign * np.float32(target)
        return int(reached.argmax()) + 1 if reached.any() else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values; a number that is not finite is a string, as in "nan"."""
        return {
            **{name: getattr(self, name) for name in ("index", "init_seed", "order_seed", "status")},
            "curves": {name: [plain(value) for value in curve] for name, curve in self.curves.items()},
            "stuck_epoch": self.stuck_epoch,
            "diagnosis": None if self.diagnosis is None else self.diagnosis.to_dict(),
            "initial_state": self.initial_state,
            "seconds": self.seconds,
            "error": self.error,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Run:
        """The run that `to_dict` wrote."""
        diagnosis = data["diagnosis"]
        return cls(
            **{
                **data,
                "curves": {name: tuple(map(float, curve)) for name, curve in data["curves"].items()},
                "diagnosis": None if diagnosis is None else Diagnosis.from_dict(diagnosis),
            }
        )
