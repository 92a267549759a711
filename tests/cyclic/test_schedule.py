"""`CyclicSchedule`: its effect inside the compiled step, and its life as a Keras object."""

import copy
import functools
import json

import numpy as np
import pytest
from any_keras import (
    KERAS_2,
    KERAS_FORMAT,
    accumulating,
    deserialize_keras_object,
    keras,
    serialize_keras_object,
    to_numpy,
)
from cyclic.spelling import (
    DOUBLING,
    doubling_schedule,
    fit,
    spelling_model,
    steps_used,
    trained_in_order,
    updates,
)
from versions import optimizer_class

from keras_clr import CyclicLR, CyclicSchedule


def unregistered(x):
    """A named function that Keras knows nothing of."""
    return 1 / x


class Inverse:
    """A callable object, and the owner of a bound method."""

    def __call__(self, x):
        return 1 / x

    def method(self, x):
        return 1 / x


def scheduled_model(num_batches, schedule=None, accumulation=None, **compile_arguments):
    optimizer = keras.optimizers.SGD(schedule or doubling_schedule(), **accumulating(accumulation))
    return spelling_model(num_batches, optimizer, **compile_arguments)


class TestEffect:
    """The rates that trained the weights."""

    @pytest.mark.parametrize("compile_arguments", [{}, {"run_eagerly": True}])
    def test_every_batch_its_own_rate(self, compile_arguments):
        """Batch k uses lr(k), compiled and eager, over several epochs."""
        model = scheduled_model(4, **compile_arguments)
        fit(model, epochs=3)
        assert steps_used(model) == trained_in_order([0, 1, 2, 3] * 3)

    @pytest.mark.parametrize("jit_compile", [True, False])
    def test_with_and_without_jit(self, jit_compile, backend):
        """Batch k uses lr(k) whether or not XLA compiles the step."""
        if backend == "torch" and jit_compile:
            pytest.skip("torch.compile is slow, and the callback is tested with it")
        model = scheduled_model(4, jit_compile=jit_compile)
        fit(model, epochs=2)
        assert steps_used(model) == trained_in_order([0, 1, 2, 3] * 2)

    @pytest.mark.parametrize("steps_per_execution", [2, 4, 5])
    def test_steps_per_execution(self, steps_per_execution, backend):
        """Inside a group of batches every batch still has its own rate, also if the epoch ends within a group."""
        if backend == "torch":
            pytest.skip("Keras refuses steps_per_execution above 1 on torch")
        model = scheduled_model(5, steps_per_execution=steps_per_execution)
        fit(model, epochs=2)
        assert steps_used(model) == trained_in_order([0, 1, 2, 3, 4] * 2)

    @pytest.mark.keras3("gradient accumulation")
    def test_gradient_accumulation(self):
        """With gradient_accumulation_steps given here too, the cycle goes on by one an update, not a batch."""
        model = scheduled_model(4, doubling_schedule(gradient_accumulation_steps=2), accumulation=2)
        fit(model, epochs=2)
        assert steps_used(model, accumulation=2) == trained_in_order([0, 1, 2, 3] * 2, accumulation=2)

    @pytest.mark.keras3("gradient accumulation")
    def test_gradient_accumulation_needs_to_be_told(self):
        """Without that argument Keras' count of batches is used: the promise above is not vacuous."""
        model = scheduled_model(4, doubling_schedule(), accumulation=2)
        fit(model)
        assert steps_used(model, accumulation=2) == [[1], [1], [3], [3]]

    def test_two_fits(self):
        """A second fit goes on where the first ended; initial_epoch alone moves nothing."""
        model = scheduled_model(3)
        fit(model)
        fit(model, epochs=3, initial_epoch=2)
        assert steps_used(model) == trained_in_order([0, 1, 2] * 2)

    def test_train_on_batch(self):
        """The rate also cycles outside of `fit`."""
        model = scheduled_model(3)
        for row in np.eye(3, dtype="float32"):
            model.train_on_batch(row[None], np.zeros((1, 1)))
        assert steps_used(model) == trained_in_order([0, 1, 2])

    def test_the_rate_can_be_read(self):
        """`optimizer.learning_rate` is the next batch's rate as a number (on Keras 2 the last batch's)."""
        model = scheduled_model(3)
        fit(model)
        assert float(to_numpy(model.optimizer.learning_rate)) == 2.0 ** (2 if KERAS_2 else 3)

    @pytest.mark.keras3("a rate that follows the count between two steps")
    def test_the_count_at_its_end(self):
        """The rate can be read from an optimizer at the last step that its integer may hold."""
        schedule = CyclicSchedule(1e-5, 3e-3, 2000.37)
        optimizer = keras.optimizers.SGD(schedule)
        optimizer.iterations.assign(2**31 - 1)
        rate = float(to_numpy(optimizer.learning_rate))
        assert rate == pytest.approx(schedule.policy(2**31 - 1), rel=1e-6)

    def test_after_two_thousand_million_batches(self):
        """The compiled step, too, is right near the end of 32 bits."""
        schedule = CyclicSchedule(1.0, 3.0, 2000.37)
        model = scheduled_model(2, schedule)
        model.optimizer.iterations.assign(2**31 - 3)
        fit(model)
        expected = [schedule.policy(2**31 - 3), schedule.policy(2**31 - 2)]
        assert updates(model) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.keras3("MultiOptimizer")
    def test_several_optimizers(self):
        """Each optimizer of a MultiOptimizer can have its own schedule."""
        fast, slow = keras.optimizers.SGD(doubling_schedule()), keras.optimizers.SGD(CyclicSchedule(1.0, 2.0, 1))
        inputs = keras.Input((3,))
        branches = [
            keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name=name)(inputs)
            for name in ("spelled", "other")
        ]
        model = keras.Model(inputs, keras.layers.Add()(branches))
        optimizer_map = optimizer_class("OptimizerMap")(fast, {"other/.*": slow})
        model.compile(optimizer=optimizer_class("MultiOptimizer")(optimizer_map), loss=lambda y, p: p)
        fit(model)
        assert steps_used(model) == trained_in_order([0, 1, 2])
        assert steps_used(model, "other") == [[0], [1], [0]]


EVERY_KIND = [
    {},
    {"base_lr": 1e-4, "max_lr": 1e-2, "step_size": 33.3, "mode": "triangular2", "wave": "cosine"},
    {"step_size": 7, "mode": "exp_range", "gamma": 0.99, "step_size_down": 12.5, "name": "mine"},
    {"gradient_accumulation_steps": 4},
    DOUBLING,
    {"step_size": np.float32(8), "base_lr": np.float64(1e-4), "max_lr": np.int64(1)},
]


class TestRoundTrips:
    """The schedule survives everything that Keras does to its objects."""

    @pytest.mark.parametrize("arguments", EVERY_KIND)
    def test_json(self, arguments):
        """Through Keras' serialization and real JSON text, the same rates and the same configuration."""
        schedule = CyclicSchedule(**arguments)
        text = json.dumps(serialize_keras_object(schedule))
        restored = deserialize_keras_object(json.loads(text))
        assert type(restored) is CyclicSchedule
        assert restored.policy == schedule.policy
        assert restored.get_config() == schedule.get_config()
        assert float(restored(19)) == float(schedule(19))

    def test_config_is_json(self):
        """The configuration alone is real JSON, whatever numbers were given."""
        schedule = CyclicSchedule(np.float32(0.5), np.float64(1), np.int64(7), step_size_down=np.float32(3))
        assert CyclicSchedule.from_config(json.loads(json.dumps(schedule.get_config()))).policy == schedule.policy

    @pytest.mark.parametrize("arguments", EVERY_KIND)
    def test_clones(self, arguments):
        """from_config and deepcopy make equal, independent schedules."""
        schedule = CyclicSchedule(**arguments)
        for clone in (CyclicSchedule.from_config(schedule.get_config()), copy.deepcopy(schedule)):
            assert clone is not schedule
            assert clone.get_config() == schedule.get_config()
            assert float(clone(19)) == float(schedule(19))

    def test_from_config_leaves_its_argument_alone(self):
        """Building a schedule from a configuration does not change the configuration."""
        config = doubling_schedule().get_config()
        before = copy.deepcopy(config)
        CyclicSchedule.from_config(config)
        assert config == before

    def test_optimizer_config(self):
        """An optimizer is rebuilt from its configuration with the schedule in it."""
        optimizer = keras.optimizers.Adam(doubling_schedule(gradient_accumulation_steps=2))
        clone = keras.optimizers.Adam.from_config(optimizer.get_config())
        assert float(clone.learning_rate) == 1.0
        clone.iterations.assign(10)
        # On Keras 2, only the next step moves it.
        rate = clone._learning_rate(clone.iterations) if KERAS_2 else clone.learning_rate
        assert float(rate) == 2.0**5

    def test_saved_model(self, tmp_path):
        """A compiled model goes on with the next rate after .keras save and load."""
        model = scheduled_model(3)
        fit(model, epochs=2)
        model.save(tmp_path / "model.keras", **KERAS_FORMAT)
        loaded = keras.saving.load_model(tmp_path / "model.keras")
        fit(loaded)
        assert steps_used(loaded) == trained_in_order([0, 1, 2] * 3)

    def test_unregistered_function(self):
        """A scale_fn that was not registered is found in `custom_objects`."""
        schedule = CyclicSchedule(scale_fn=unregistered)
        text = json.dumps(serialize_keras_object(schedule))
        with keras.saving.custom_object_scope({"unregistered": unregistered}):
            restored = deserialize_keras_object(json.loads(text))
        assert restored.policy.scale_fn is unregistered


class TestRefusals:
    """What could not be saved, or would be ignored, is refused at once."""

    @pytest.mark.parametrize(
        "scale_fn",
        [
            lambda x: 1 / x,
            functools.partial(pow, 0.5),
            (lambda: lambda x: 1 / x)(),
            Inverse(),
            Inverse().method,
        ],
        ids=["lambda", "partial", "nested", "object", "bound method"],
    )
    def test_unsavable_scale_fn(self, scale_fn):
        """A function that a saved model cannot name is refused, with the lines that would work."""
        with pytest.raises(ValueError, match=r"(?s)`scale_fn` of CyclicSchedule.*register_keras_seri.*CyclicLR"):
            CyclicSchedule(scale_fn=scale_fn)

    def test_local_function(self):
        """A function defined inside another one is refused as well."""

        def local(x):
            return 1 / x

        with pytest.raises(ValueError, match=r"`scale_fn` of CyclicSchedule must be a named function"):
            CyclicSchedule(scale_fn=local)

    def test_the_callback_takes_any_function(self):
        """The way out that the message names exists: CyclicLR takes the lambda."""
        assert CyclicLR(1.0, 3.0, 2, scale_fn=lambda x: 1 / x).simulate(7).tolist() == [1, 2, 3, 2, 1, 1.5, 2]

    @pytest.mark.parametrize("value", [0, 1, -2, 2.5, True, "2"])
    def test_gradient_accumulation_steps(self, value):
        """gradient_accumulation_steps is None or a whole number from 2 on."""
        with pytest.raises(ValueError, match=r"`gradient_accumulation_steps` must be None or an integer >= 2\. Rec"):
            CyclicSchedule(gradient_accumulation_steps=value)

    def test_shared_checks(self):
        """The checks of the policy apply."""
        with pytest.raises(ValueError, match=r"`step_size` must be between 1 and"):
            CyclicSchedule(step_size=0)

    def test_a_misspelt_argument(self):
        """An unknown argument is an error."""
        with pytest.raises(TypeError, match="step_size_unit"):
            CyclicSchedule(step_size_unit="epochs")
