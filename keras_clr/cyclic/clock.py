"""Counts the batches that were really trained, from what Keras' hooks tell.

No single source is enough. Begin hooks also fire for a batch that is not there (data of unknown length), and
once per `steps_per_execution`; end hooks name the last batch of a full group even if the data ended within
it; `optimizer.iterations` takes the missing batch too (TensorFlow, graph mode) and stands still when loss
scaling skips an update. So: the first epoch starts from the optimizer's count, a batch within it is at the
begin hook's index, and the epoch's true length comes from the end hooks, corrected where they overstate.
"""

from __future__ import annotations

from collections import deque


class StepClock:
    """The number of batches trained before a batch, over several epochs of one `fit`."""

    def __init__(self) -> None:
        self.epoch_start = 0
        # Keras may run end hooks in a few threads, hence out of order; `append` is atomic.
        self._last_ends: deque[int] = deque(maxlen=64)

    def start(self, trained: int) -> None:
        """Sets the clock to `trained` batches at the begin of an epoch."""
        self.epoch_start = trained
        self._last_ends.clear()

    def batch_ended(self, batch: int) -> None:
        """To be called by the end hook with its batch index."""
        self._last_ends.append(batch)

    def end_epoch(self, *, num_batches: int | None, steps_per_execution: int, counted: int | None) -> int:
        """Ends the epoch and moves the clock to the next one.

        Args:
            num_batches: Batches in an epoch as far as Keras knows (`params["steps"]`), or None.
            steps_per_execution: Batches in a group.
            counted: Batches that the optimizer counted during the epoch, if it was asked.

        Returns:
            How many batches the epoch really trained.
        """
        seen = max(self._last_ends, default=-1) + 1
        if num_batches is not None:
            length = min(seen, num_batches)
        elif counted is not None and steps_per_execution > 1:
            # Only the last group can have been short.
            length = min(max(counted, seen - steps_per_execution + 1), seen)
        else:
            length = seen
        self.start(self.epoch_start + length)
        return length
