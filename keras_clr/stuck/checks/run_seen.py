"""What was seen of a run, from which the checks judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from keras_clr.stuck.finding import plain
from keras_clr.stuck.state import State

# States in which nothing has been learned.
STUCK = (State.AT_CHANCE, State.BELOW_CHANCE, State.CLASS_SHARES, State.FROZEN)


@dataclass(frozen=True)
class EpochSeen:
    """What was seen of one epoch; None where there is nothing to see.

    Attributes:
        epoch: Counted from 0.
        state: Where the run stood at its end.
        loss: Training loss.
        accuracy: Training accuracy of the first output.
        validation_accuracy: The same metric on the validation data.
        probe_accuracy: Accuracy on the probe samples at its end.
        probe_loss: Loss on them.
        moved: How far the answers to the probe samples moved since the last look (root mean square).
        learning_rate: Rate at its end.
        penalty: What the regularizers of the weights add to the loss at its end.
    """

    epoch: int
    state: State
    loss: float | None = None
    accuracy: float | None = None
    validation_accuracy: float | None = None
    probe_accuracy: float | None = None
    probe_loss: float | None = None
    moved: float | None = None
    learning_rate: float | None = None
    penalty: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and strings, ready for JSON; what was not seen is left out."""
        seen = {name: plain(value) for name, value in asdict(self).items() if value is not None}
        return seen | {"state": self.state.value}


@dataclass(frozen=True)
class RunSeen:
    """A run so far.

    Attributes:
        epochs: What was seen of each.
        chance: Chance accuracy, None if there is none.
        margin: Smallest gain over it that counts.
        constant_loss: Loss on the probe of the best answer that does not look at the input.
        skill: How much better the model is: 1 - loss / `constant_loss`.
        num_samples: Samples trained so far.
        epochs_left: Epochs still to come, None if unknown.
        needed: How far the answers must move for `margin` of the wrong ones to become right.
        optimizer: Class name of the optimizer.
        labels_in_order: Whether the probe's labels came in the order of their classes.
        first_penalty: What the regularizers of the weights added to the loss before the first epoch.
        summed: Whether the loss adds up a batch.
        clear_mistakes: Whether the loss is a plain cross-entropy, and a wrong answer gives its true class a probability
            of at most 1/2.
        num_unanswered: Classes of the probe that no sample is answered with.
    """

    epochs: Sequence[EpochSeen]
    chance: float | None = None
    margin: float | None = None
    constant_loss: float | None = None
    skill: float | None = None
    num_samples: float = 0.0
    epochs_left: int | None = None
    needed: float | None = None
    optimizer: str = "SGD"
    labels_in_order: bool = False
    first_penalty: float | None = None
    summed: bool = False
    clear_mistakes: bool = False
    num_unanswered: int = 0
