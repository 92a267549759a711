"""What differs between the runs of a study: their seeds. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

VARY = ("shuffle", "init", "both")
_INIT, _ORDER = 0, 1


@dataclass(frozen=True)
class RunPlan:
    """One run, before it is run.

    Attributes:
        index: Number of the run, from 0.
        init_seed: Of the initial weights, and of what training draws besides the order (dropout, augmentation).
        order_seed: Of the order of the samples.
    """

    index: int
    init_seed: int
    order_seed: int

    @property
    def training_seed(self) -> int:
        """Of what is drawn during training; another number than `init_seed`, so that masks do not repeat weights."""
        return _draw(self.init_seed, 0, 0)


def plan_run(index: int, vary: str, seed: int) -> RunPlan:
    """The run with this number; the same whatever else is run.

    Args:
        index: Number of the run, from 0.
        vary: One of `VARY`. What does not vary has the seed of run 0.
        seed: Of the whole study.

    Example:
        >>> runs = [plan_run(i, "shuffle", seed=0) for i in range(3)]
        >>> len({run.init_seed for run in runs}), len({run.order_seed for run in runs})
        (1, 3)
    """
    return RunPlan(
        index,
        init_seed=_draw(seed, index if vary in ("init", "both") else 0, _INIT),
        order_seed=_draw(seed, index if vary in ("shuffle", "both") else 0, _ORDER),
    )


def _draw(seed: int, index: int, purpose: int) -> int:
    """32 bits, as many as `keras.utils.set_random_seed` takes."""
    return int(np.random.SeedSequence((seed, index, purpose)).generate_state(1)[0])
