"""`CyclicLR` beside others that have a say in the rate: callbacks, schedules, several optimizers."""

import warnings

import keras
import pytest
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

from keras_clr import CyclicLR, CyclicSchedule
from keras_clr._errors import KerasCLRWarning


def plateau(patience=1):
    """A ReduceLROnPlateau that halves the rate at the end of every epoch from the second on."""
    return keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=patience, min_delta=1e30)


def our_warnings(function):
    """What of this package's warnings `function` gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", KerasCLRWarning)
        function()
    return [str(w.message) for w in caught if issubclass(w.category, KerasCLRWarning)]


class TestReduceLROnPlateau:
    """The callback that lowers the rate between two epochs."""

    @pytest.mark.parametrize("clr_first", [True, False])
    def test_said_once(self, clr_first):
        """By default its reduction changes nothing, and one warning says so with the numbers and the way out."""
        model = spelling_model(3)
        callbacks = [doubling_clr(), plateau()]
        messages = our_warnings(lambda: fit(model, callbacks if clr_first else callbacks[::-1], epochs=5))
        assert len(messages) == 1
        assert "from 32 to 16" in messages[0]
        assert "on_external_change='scale'" in messages[0]
        assert steps_used(model) == trained_in_order([0, 1, 2] * 5)

    def test_silent_without_reason(self):
        """A plateau callback that never reduces is not worth a word."""
        model = spelling_model(3)
        assert our_warnings(lambda: fit(model, [doubling_clr(), plateau(patience=9)], epochs=4)) == []

    @pytest.mark.parametrize("clr_first", [True, False])
    def test_scale(self, clr_first):
        """on_external_change="scale": every reduction halves the band, and all batches after it use the halves."""
        clr = CyclicLR(1.0, 3.0, 4, on_external_change="scale")
        model = spelling_model(2)
        callbacks = [clr, plateau()]
        messages = our_warnings(lambda: fit(model, callbacks if clr_first else callbacks[::-1], epochs=4))
        band = [1, 1, 0.5, 0.25]  # Nothing after the first epoch, then a half each.
        expected = [clr.policy(2 * epoch + k) * band[epoch] for epoch in range(4) for k in range(2)]
        assert clr.history["learning_rate"] == pytest.approx(expected, rel=1e-6)
        assert updates(model) == pytest.approx([sum(expected[0::2]), sum(expected[1::2])], rel=1e-6)
        assert len(messages) == 1
        assert "scales its band" in messages[0]

    def test_scale_goes_on_in_the_next_fit(self):
        """A second fit keeps the band that the first one ended with."""
        clr = CyclicLR(1.0, 3.0, 4, on_external_change="scale")
        model = spelling_model(2)
        messages = our_warnings(lambda: fit(model, [clr, plateau()], epochs=3))
        messages += our_warnings(lambda: fit(model, [clr]))
        assert len(messages) == 1
        assert clr.history["learning_rate"][-2:] == pytest.approx([0.5 * clr.policy(6), 0.5 * clr.policy(7)])

    def test_scale_is_printed(self, capsys):
        """With verbose=1, the rate that is announced is the scaled one that is used."""
        clr = CyclicLR(1.0, 3.0, 4, on_external_change="scale", verbose=1)
        our_warnings(lambda: fit(spelling_model(2), [clr, plateau()], epochs=3))
        used = clr.history["learning_rate"][4]
        assert used == pytest.approx(1.5)
        assert f"Epoch 3: CyclicLR starts at learning rate {used:g}" in capsys.readouterr().out

    def test_with_accumulation_and_groups(self, backend):
        """The band is scaled once a reduction, whatever a step or an update is."""
        accumulation = keras.optimizers.SGD(0.25, gradient_accumulation_steps=2)
        steps_per_execution = 1 if backend == "torch" else 2
        model = spelling_model(2, accumulation, steps_per_execution=steps_per_execution)
        clr = CyclicLR(1.0, 3.0, 4, on_external_change="scale")
        our_warnings(lambda: fit(model, [clr, plateau()], epochs=3))
        assert updates(model) * 2 == pytest.approx([1 + 1.5 + 0.5 * 2] * 2)


class TestLearningRateScheduler:
    """The callback that sets the rate at the start of every epoch."""

    @pytest.mark.parametrize("clr_first", [True, False])
    def test_overwritten(self, clr_first):
        """Its rates are overwritten before any batch, and one warning says so."""
        model = spelling_model(3)
        callbacks = [doubling_clr(), keras.callbacks.LearningRateScheduler(lambda epoch: 1e-3 * (epoch + 1))]
        messages = our_warnings(lambda: fit(model, callbacks if clr_first else callbacks[::-1], epochs=4))
        assert steps_used(model) == trained_in_order([0, 1, 2] * 4)
        assert len(messages) == 1
        assert "Another callback changed the learning rate from 4 to 0.002." in messages[0]

    def test_small_changes_count(self):
        """A rate that another callback lowers by half a percent an epoch is followed as exactly as a halving."""
        clr = CyclicLR(1.0, 3.0, 4, on_external_change="scale")
        decay = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.995)
        our_warnings(lambda: fit(spelling_model(2), [clr, decay], epochs=4))
        band = [1, 0.995, 0.995**2, 0.995**3]  # Before the first batch there is nothing to compare with.
        expected = [clr.policy(2 * epoch + k) * band[epoch] for epoch in range(4) for k in range(2)]
        assert clr.history["learning_rate"] == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("floatx", ["float16", "bfloat16"])
    def test_rounding_is_no_change(self, floatx):
        """An optimizer that keeps its rate in 16 bits, or below their normal range, is not taken for a callback."""
        keras.config.set_floatx(floatx)
        clr = CyclicLR(5e-6, 3e-4, 7, on_external_change="scale")
        model = spelling_model(3)
        assert keras.backend.standardize_dtype(model.optimizer.learning_rate.dtype) == floatx
        assert our_warnings(lambda: fit(model, [clr], epochs=3)) == []
        assert clr.history["learning_rate"] == clr.simulate(9).tolist()

    def test_logged(self):
        """The rate in the logs is the one that was used, whatever the other callback logs before."""
        model = spelling_model(3)
        callbacks = [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate), doubling_clr()]
        history = fit(model, callbacks, epochs=2)
        assert history.history["learning_rate"] == pytest.approx([4, 32])


class TestSchedules:
    """Optimizers whose rate cannot be set."""

    @pytest.mark.parametrize(
        "rate",
        [
            keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5),
            CyclicSchedule(0.1, 0.2, 10),
            lambda: 0.1,
        ],
        ids=["schedule", "CyclicSchedule", "function"],
    )
    @pytest.mark.parametrize("wrapped", [False, True])
    def test_refused(self, rate, wrapped):
        """A schedule or a function is an error that says how to compile, before any weight is changed."""
        optimizer = keras.optimizers.SGD(rate, name="mine")
        if wrapped:
            optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
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


class TestSeveralOptimizers:
    """MultiOptimizer: one rate for all."""

    @staticmethod
    def multi_optimizer(**arguments):
        names = {"other/.*": keras.optimizers.SGD(0.5, name="second", **arguments)}
        default = keras.optimizers.SGD(0.25, name="first", **arguments)
        return keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(default, names))

    def test_all_get_the_rate(self):
        """Batch k uses lr(k) in every optimizer."""
        model = two_branches(self.multi_optimizer())
        fit(model, [doubling_clr()], epochs=2)
        assert steps_used(model, "spelled") == trained_in_order([0, 1, 2] * 2)
        assert steps_used(model, "other") == trained_in_order([0, 1, 2] * 2)

    def test_chosen_by_a_function(self):
        """Optimizers that a function chooses when the model is built are found as well."""
        first, second = keras.optimizers.SGD(0.25), keras.optimizers.SGD(0.5)
        chooser = keras.optimizers.MultiOptimizer(lambda variable: second if "other" in variable.path else first)
        model = two_branches(chooser)
        fit(model, [doubling_clr()], epochs=2)
        assert steps_used(model, "spelled") == trained_in_order([0, 1, 2] * 2)
        assert steps_used(model, "other") == trained_in_order([0, 1, 2] * 2)

    def test_chosen_by_a_function_too_late(self, backend):
        """If the model has no variables yet, the optimizers cannot be known: an error says what to do."""
        optimizer = keras.optimizers.SGD(0.25)
        model = keras.Sequential([keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="spelled")])
        model.compile(keras.optimizers.MultiOptimizer(lambda variable: optimizer), loss=mean_prediction)
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
        optimizer = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.25), names))
        with pytest.raises(ValueError, match=r"same `gradient_accumulation_steps`.*Received: \[1, 2\]"):
            fit(two_branches(optimizer), [doubling_clr()])

    def test_one_with_a_schedule(self):
        """One optimizer with a schedule among others is refused by its name."""
        names = {"other/.*": keras.optimizers.SGD(doubling_schedule(), name="scheduled")}
        optimizer = keras.optimizers.MultiOptimizer(keras.optimizers.OptimizerMap(keras.optimizers.SGD(0.25), names))
        with pytest.raises(ValueError, match="'scheduled' was built with a schedule"):
            fit(two_branches(optimizer), [doubling_clr()])


class TestOptions:
    """Options of the constructor that are not the policy's."""

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"on_external_change": "ignore"}, r"`on_external_change` must be one of 'warn', 'scale'\. Rec.*='ignore'"),
            ({"verbose": 2}, r"`verbose` must be one of 0, 1\. Received: verbose=2"),
            ({"max_lr": 0.0}, r"`max_lr` must be > 0"),
        ],
    )
    def test_refused(self, bad, message):
        """Bad options name themselves."""
        with pytest.raises(ValueError, match=message):
            CyclicLR(**bad)
