"""`OneCycleSchedule`: one cycle inside the compiled training step."""

from __future__ import annotations

from typing import Any, ClassVar

from keras_clr._keras.api import keras
from keras_clr.cyclic import one_cycle_in_graph
from keras_clr.cyclic.one_cycle import OneCyclePolicy, one_cycle_policy, one_cycle_shape
from keras_clr.cyclic.policy_schedule import PolicySchedule


@keras.saving.register_keras_serializable(package="keras_clr")
class OneCycleSchedule(PolicySchedule[OneCyclePolicy]):
    """The learning rate of `OneCycleLR` as a schedule in the graph: exact for any `steps_per_execution`.

    It follows the optimizer's count of batches, so it is saved, loaded and resumed with the model. A schedule can
    only set the rate: for momentum take the callback.

    Args:
        max_lr: As in `OneCycleLR`, like all arguments up to `preset`.
        total_steps: Batches (updates under accumulation) in the whole run: epochs times batches per epoch.
        pct_start: See `OneCycleLR`.
        div_factor: See `OneCycleLR`.
        final_div_factor: See `OneCycleLR`.
        wave: See `OneCycleLR`.
        three_phase: See `OneCycleLR`.
        preset: See `OneCycleLR`.
        gradient_accumulation_steps: What the optimizer was built with; None or an integer >= 2. Defaults to None.
        name: Name of the operations. Defaults to "OneCycleSchedule".

    Raises:
        ValueError: If an argument is out of range.
        TypeError: If an argument has the wrong type.

    Example:
    >>> import keras_clr
    >>> schedule = keras_clr.OneCycleSchedule(25.0, 10, final_div_factor=2, wave="linear", preset="pytorch")
    >>> [round(float(schedule(step)), 4) for step in range(10)]
    [1.0, 13.0, 25.0, 21.5, 18.0, 14.5, 11.0, 7.5, 4.0, 0.5]
    """

    _not_shown: ClassVar[dict[str, Any]] = {"three_phase": False, "preset": None, "gradient_accumulation_steps": None}

    def __init__(
        self,
        max_lr: float,
        total_steps: int,
        *,
        pct_start: float | None = None,
        div_factor: float | None = None,
        final_div_factor: float | None = None,
        wave: str = "cosine",
        three_phase: bool = False,
        preset: str | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str = "OneCycleSchedule",
    ) -> None:
        shape = one_cycle_shape(max_lr, pct_start, div_factor, final_div_factor, wave, three_phase, preset)
        policy = one_cycle_policy(shape, total_steps)
        super().__init__(
            policy,
            {"max_lr": shape["max_lr"], "total_steps": policy.total_steps, **shape},
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
        )

    def _in_graph(self, step: Any) -> Any:
        return one_cycle_in_graph.learning_rate(self._policy, step)
