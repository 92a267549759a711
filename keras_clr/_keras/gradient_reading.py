"""What was read of a gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GradientReading:
    """Gradient of the training loss on some batches.

    Attributes:
        zeros: For each trainable variable, whether every entry is exactly 0, in every draw. Once none is, the look
            ends.
        num_unconnected: Trainable variables that the loss does not depend on at all: they are not among `zeros`.
        num_draws: Times each sample was looked at, each with its own dropout.
    """

    zeros: tuple[bool, ...]
    num_unconnected: int
    num_draws: int

    @property
    def num_variables(self) -> int:
        """Trainable variables."""
        return len(self.zeros)

    @property
    def zero(self) -> bool:
        """Whether no trainable variable has a gradient."""
        return bool(self.zeros) and all(self.zeros)


@dataclass(frozen=True, eq=False)
class BatchGradient:
    """Loss and gradient of one training step on one batch.

    Attributes:
        loss: Training loss, before any loss scaling.
        gradients: Of each trainable variable, as an array of its shape, without the loss scale; None where the loss
            does not depend on the variable.
    """

    loss: float
    gradients: tuple[np.ndarray | None, ...]

    @property
    def norms(self) -> tuple[float | None, ...]:
        """Euclidean norm of each gradient, in double precision."""
        return tuple(None if g is None else float(np.linalg.norm(g.astype(np.float64))) for g in self.gradients)
