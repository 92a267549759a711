"""`CyclicLR` on optimizers of every build: schedules, which are refused, and several in one."""

import pytest
from any_keras import LossScaleOptimizer, keras
from cyclic.company import our_warnings, plateau
from cyclic.spelling import (
    doubling_clr,
    doubling_schedule,
    fit,
    mean_prediction,
    spelling_model,
    steps_used,
    trained_in_order,
    unit_vectors,
    updates,
)
from versions import optimizer_class

from keras_clr import CyclicLR, CyclicSchedule


class TestSchedules:
    """Optimizers whose rate cannot be set."""

    @pytest.mark.parametrize(
        "rate",
        [
            keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5),
            CyclicSchedule(0.1, 0.2, 10),
            # Keras 2 calls it once, when the optimizer is built: that rate can be set.
            pytest.param(lambda: 0.1, marks=pytest.mark.keras3("a function that is called for each step")),
        ],
        ids=["schedule", "CyclicSchedule", "function"],
    )
    @pytest.mark.parametrize("wrapped", [False, True])
    def test_refused(self, rate, wrapped):
        """A schedule or a function is an error that says how to compile, before any weight is changed."""
        optimizer = keras.optimizers.SGD(rate, name="mine")
        if wrapped:
            optimizer = LossScaleOptimizer(optimizer)
        model = spelling_model(3, optimizer)
        compile_so = r"Compile with a float, as in `SGD\(learning_rate=0\.001\)`.*keras_clr\.CyclicSchedule"
        with pytest.raises(ValueError, match=rf"'mine' was built with a schedule: .*{compile_so}"):
            fit(model, [CyclicLR()])
        assert updates(model).tolist() == [0, 0, 0]
        assert int(model.optimizer.iterations) == 0

    def test_what_the_error_recommends_works(self):
        """Both ways out of that error do train: a float with CyclicLR, or the schedule without."""
        with_callback = spelling_model(3, keras.optimizers.SGD(learning_rate=0.001))
        fit(with_callback, [doubling_clr()])
        with_schedule = spelling_model(3, keras.optimizers.SGD(doubling_schedule()))
        fit(with_schedule)
        assert steps_used(with_callback) == steps_used(with_schedule) == trained_in_order([0, 1, 2])


def two_branches(optimizer, num_batches=3):
    """A model of two weight vectors, whose optimizer may be a MultiOptimizer."""
    inputs = keras.Input((num_batches,))
    branches = [
        keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name=name)(inputs)
        for name in ("spelled", "other")
    ]
    model = keras.Model(inputs, keras.layers.Add()(branches))
    model.compile(optimizer, loss=mean_prediction)
    return model


@pytest.mark.keras3("MultiOptimizer")
class TestSeveralOptimizers:
    """MultiOptimizer: one rate for all."""

    @staticmethod
    def multi_optimizer(**arguments):
        names = {"other/.*": keras.optimizers.SGD(0.5, name="second", **arguments)}
        default = keras.optimizers.SGD(0.25, name="first", **arguments)
        return optimizer_class("MultiOptimizer")(optimizer_class("OptimizerMap")(default, names))

    def test_all_get_the_rate(self):
        """Batch k uses lr(k) in every optimizer."""
        model = two_branches(self.multi_optimizer())
        fit(model, [doubling_clr()], epochs=2)
        assert steps_used(model, "spelled") == trained_in_order([0, 1, 2] * 2)
        assert steps_used(model, "other") == trained_in_order([0, 1, 2] * 2)

    def test_chosen_by_a_function(self):
        """Optimizers that a function chooses when the model is built are found as well."""
        first, second = keras.optimizers.SGD(0.25), keras.optimizers.SGD(0.5)
        chooser = optimizer_class("MultiOptimizer")(lambda variable: second if "other" in variable.path else first)
        model = two_branches(chooser)
        fit(model, [doubling_clr()], epochs=2)
        assert steps_used(model, "spelled") == trained_in_order([0, 1, 2] * 2)
        assert steps_used(model, "other") == trained_in_order([0, 1, 2] * 2)

    def test_chosen_by_a_function_too_late(self, backend):
        """If the model has no variables yet, the optimizers cannot be known: an error says what to do."""
        optimizer = keras.optimizers.SGD(0.25)
        model = keras.Sequential([keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="spelled")])
        model.compile(optimizer_class("MultiOptimizer")(lambda variable: optimizer), loss=mean_prediction)
        x, y = unit_vectors(3)
        data = {"x": x, "y": y, "batch_size": 1, "verbose": 0, "shuffle": False, "callbacks": [doubling_clr()]}
        if backend == "tensorflow":  # The others build the model before training begins.
            with pytest.raises(ValueError, match=r"only known when the model is built\. Build it before `fit`"):
                model.fit(**data)
            model.build((None, 3))
        model.fit(**data)
        assert steps_used(model) == trained_in_order([0, 1, 2])

    def test_accumulation(self):
        """Accumulating optimizers of a MultiOptimizer are counted in updates, too."""
        model = two_branches(self.multi_optimizer(gradient_accumulation_steps=2), num_batches=4)
        fit(model, [doubling_clr()], epochs=2)
        expected = trained_in_order([0, 1, 2, 3] * 2, accumulation=2)
        assert steps_used(model, "spelled", accumulation=2) == expected
        assert steps_used(model, "other", accumulation=2) == expected

    def test_plateau(self):
        """A reduction of all optimizers is one reduction of the band."""
        model = two_branches(self.multi_optimizer())
        clr = CyclicLR(1.0, 3.0, 4, on_external_change="scale")
        messages = our_warnings(lambda: fit(model, [clr, plateau()], epochs=3))
        assert len(messages) == 1
        assert clr.history["learning_rate"][-3:] == pytest.approx([0.5 * clr.policy(step) for step in (6, 7, 8)])
        assert updates(model, "other") == pytest.approx(updates(model, "spelled"))

    def test_different_accumulation(self):
        """Optimizers that accumulate over different numbers of batches have no common cycle: an error says so."""
        names = {"other/.*": keras.optimizers.SGD(0.5, gradient_accumulation_steps=2)}
        optimizer = optimizer_class("MultiOptimizer")(
            optimizer_class("OptimizerMap")(keras.optimizers.SGD(0.25), names)
        )
        with pytest.raises(ValueError, match=r"same `gradient_accumulation_steps`.*Received: \[1, 2\]"):
            fit(two_branches(optimizer), [doubling_clr()])

    def test_one_with_a_schedule(self):
        """One optimizer with a schedule among others is refused by its name."""
        names = {"other/.*": keras.optimizers.SGD(doubling_schedule(), name="scheduled")}
        optimizer = optimizer_class("MultiOptimizer")(
            optimizer_class("OptimizerMap")(keras.optimizers.SGD(0.25), names)
        )
        with pytest.raises(ValueError, match="'scheduled' was built with a schedule"):
            fit(two_branches(optimizer), [doubling_clr()])
