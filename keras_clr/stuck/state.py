"""`State`: where a training run stands."""

from __future__ import annotations

import enum


class State(enum.StrEnum):
    """Where a training run stands; the value is the message."""

    NOT_TRAINED = "not trained yet"
    TOO_EARLY = "too early to tell"
    LEARNING = "learning"
    SLOW_START = "slow start"
    AT_CHANCE = "at chance so far"
    BELOW_CHANCE = "worse than chance"
    CLASS_SHARES = "learned the class shares only"
    COLLAPSED = "collapsed after progress"
    DIVERGED = "diverged"
    FROZEN = "frozen"

    @property
    def grade(self) -> str:
        """How it looks: "open" (nothing is known yet), "good", "doubtful" or "bad". Decides the colour."""
        return _GRADES[self]


_GRADES = {
    State.NOT_TRAINED: "open",
    State.TOO_EARLY: "open",
    State.LEARNING: "good",
    State.SLOW_START: "doubtful",
    State.AT_CHANCE: "doubtful",
    State.BELOW_CHANCE: "bad",
    State.CLASS_SHARES: "doubtful",
    State.COLLAPSED: "bad",
    State.DIVERGED: "bad",
    State.FROZEN: "bad",
}
