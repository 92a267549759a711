"""A policy inside the compiled training step: what `CyclicSchedule` and `OneCycleSchedule` share."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from keras_clr._keras.api import keras, ops
from keras_clr.cyclic.policies import Policy
from keras_clr.cyclic.preview import Preview

P = TypeVar("P", bound=Policy)


class PolicySchedule(Preview, keras.optimizers.schedules.LearningRateSchedule, Generic[P]):
    """Computes a policy from the optimizer's count. Its children say how.

    Args:
        policy: The policy.
        arguments: The constructor's, but for the two below, ready for JSON.
        gradient_accumulation_steps: As in `CyclicSchedule`.
        name: Name of the operations.

    Raises:
        ValueError: If `gradient_accumulation_steps` is out of range.
    """

    def __init__(
        self, policy: P, arguments: dict[str, Any], *, gradient_accumulation_steps: int | None, name: str
    ) -> None:
        super().__init__()
        if gradient_accumulation_steps is not None and (
            not isinstance(gradient_accumulation_steps, int) or gradient_accumulation_steps < 2
        ):
            raise ValueError(
                "Argument `gradient_accumulation_steps` must be None or an integer >= 2. "
                f"Received: gradient_accumulation_steps={gradient_accumulation_steps!r}"
            )
        self._policy = policy
        self._arguments = {**arguments, "gradient_accumulation_steps": gradient_accumulation_steps}
        self._gradient_accumulation_steps = gradient_accumulation_steps
        self._name = name

    @property
    def policy(self) -> P:
        """The learning rate as a function of the step."""
        return self._policy

    def __call__(self, step: Any) -> Any:
        """The learning rate of batch `step` as a float32 tensor."""
        if self._gradient_accumulation_steps:
            step = ops.floor_divide(ops.cast(step, "int32"), self._gradient_accumulation_steps)
        return self._in_graph(step)

    def _in_graph(self, step: Any) -> Any:
        """The policy's twin in the graph."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON."""
        return {**self._arguments, "name": self._name}
