"""A record of (step, learning rate, momentum) that stays small however long the run is."""

from __future__ import annotations


class BoundedHistory:
    """Keeps every record at first; when full, every second one, then every fourth, and so on.

    Args:
        limit: Most records that are kept.
    """

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._stride = 1
        self._seen = 0
        self.steps: list[int] = []
        self.rates: list[float] = []
        self.momenta: list[float | None] = []

    def append(self, step: int, rate: float, momentum: float | None = None) -> None:
        """Adds a record."""
        if self._seen % self._stride == 0:
            if len(self.steps) == self._limit:
                del self.steps[1::2], self.rates[1::2], self.momenta[1::2]
                self._stride *= 2
            if self._seen % self._stride == 0:
                self.steps.append(step)
                self.rates.append(rate)
                self.momenta.append(momentum)
        self._seen += 1

    def forget_last(self) -> None:
        """Takes the newest record back: that batch was not trained after all."""
        self._seen -= 1
        if self._seen % self._stride == 0:  # Else it was not kept in the first place.
            self.steps.pop()
            self.rates.pop()
            self.momenta.pop()
