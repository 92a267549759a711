"""`CyclicSchedule`: a policy inside the compiled training step."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from keras_clr._keras.api import deserialize_keras_object, keras, serialize_keras_object
from keras_clr.cyclic import in_graph
from keras_clr.cyclic.arguments import cyclic_policy, plain_arguments
from keras_clr.cyclic.policies import CyclicPolicy, ScaleFn
from keras_clr.cyclic.policy_schedule import PolicySchedule


@keras.saving.register_keras_serializable(package="keras_clr")
class CyclicSchedule(PolicySchedule[CyclicPolicy]):
    """The cyclical learning rate of `CyclicLR` as a schedule in the graph: exact for any `steps_per_execution`.

    Take it rather than the callback when steps are short, above all on JAX: it costs nothing that can be measured.
    The rate follows the optimizer's count of batches, so it is saved, loaded and resumed with the model. It knows
    nothing of epochs, of a record of rates, or of other callbacks; where the callback differs, it says so there.

    Keras calls a schedule with the number of *batches*, also under gradient accumulation: give
    `gradient_accumulation_steps` here as well, and the position in the cycle is counted in updates.

    Args:
        base_lr: As in `CyclicLR`, like all arguments up to `wave`. `step_size` is in batches (updates).
        max_lr: See `CyclicLR`.
        step_size: See `CyclicLR`.
        mode: See `CyclicLR`.
        gamma: See `CyclicLR`.
        scale_fn: See `CyclicLR`. It is called with a float32 tensor, so it has to compute with operators or
            `keras.ops` (TensorFlow's on Keras 2); it must be a named function, registered with
            `keras.saving.register_keras_serializable` if the model is to be loaded without `custom_objects`. In the
            graph, only its first value is checked.
        scale_mode: See `CyclicLR`.
        step_size_down: See `CyclicLR`.
        wave: See `CyclicLR`.
        gradient_accumulation_steps: What the optimizer was built with; None or an integer >= 2. Defaults to None.
        name: Name of the operations. Defaults to "CyclicSchedule".

    Raises:
        ValueError: If an argument is out of range or would be ignored, or if `scale_fn` is a lambda, which could
            be saved but never loaded.

    Example:
    >>> import keras, keras_clr
    >>> schedule = keras_clr.CyclicSchedule(base_lr=0.01, max_lr=0.05, step_size=4)
    >>> optimizer = keras.optimizers.Adam(learning_rate=schedule)
    >>> round(float(schedule(3)), 4)
    0.04
    """

    def __init__(
        self,
        base_lr: float = 0.001,
        max_lr: float = 0.006,
        step_size: float = 2000,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: ScaleFn | None = None,
        scale_mode: str = "cycle",
        *,
        step_size_down: float | None = None,
        wave: str = "linear",
        gradient_accumulation_steps: int | None = None,
        name: str = "CyclicSchedule",
    ) -> None:
        if scale_fn is not None:
            _refuse_unsavable(scale_fn)
        policy = cyclic_policy(
            base_lr,
            max_lr,
            step_size,
            mode,
            gamma,
            scale_fn,
            scale_mode,
            step_size_down=step_size_down,
            wave=wave,
        )
        super().__init__(
            policy,
            plain_arguments(policy, step_size, step_size_down),
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
        )

    def _in_graph(self, step: Any) -> Any:
        return in_graph.learning_rate(self._policy, step)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, ready for JSON."""
        config = super().get_config()
        if config["scale_fn"] is not None:
            config["scale_fn"] = serialize_keras_object(config["scale_fn"])
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> CyclicSchedule:
        """A schedule from what `get_config` returned."""
        scale_fn = config.get("scale_fn")
        if isinstance(scale_fn, dict):
            scale_fn = deserialize_keras_object(scale_fn)
        return cls(**{**config, "scale_fn": scale_fn})


def _refuse_unsavable(scale_fn: Any) -> None:
    """Keras writes a lambda into a saved model without complaint, and cannot read it back."""
    if not isinstance(scale_fn, FunctionType) or "<" in scale_fn.__qualname__:
        raise ValueError(
            "Argument `scale_fn` of CyclicSchedule must be a named function at the top level of a module: a lambda, "
            "a nested function, a method or a partial could be saved with the model but not loaded. Received: "
            f"scale_fn={scale_fn!r}. Write\n"
            "    @keras.saving.register_keras_serializable()\n"
            "    def my_scale(x):\n"
            "        return 1 / x\n"
            "and pass scale_fn=my_scale; or use the callback CyclicLR, which is not saved."
        )
