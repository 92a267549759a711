"""What only Keras 2 (and tf_keras) has: legacy optimizers, updates that compile themselves, epochs begun within."""

import numpy as np
import pytest
from any_keras import LEGACY, VERSION, LossScaleOptimizer, keras
from cyclic import momentum as by_hand
from cyclic.momentum import GRADIENTS, train, weights
from cyclic.spelling import doubling_clr, doubling_schedule, fit, spelling_model, steps_used, trained_in_order, updates

import keras_clr
from keras_clr import CyclicLR, CyclicSchedule, OneCycleLR

legacy = keras.optimizers.legacy
LR = {"base_lr": 0.01, "max_lr": 0.05, "step_size": 4}
BAND = {"cycle_momentum": True, "base_momentum": 0.5, "max_momentum": 0.9}
OPTIMIZERS = {
    "SGD": (lambda: legacy.SGD(0.3, momentum=0.7), by_hand.sgd),
    "Nesterov": (
        lambda: legacy.SGD(0.3, momentum=0.7, nesterov=True),
        lambda *arguments: by_hand.sgd(*arguments, nesterov=True),
    ),
    "RMSprop": (lambda: legacy.RMSprop(0.3, momentum=0.7), by_hand.rmsprop),
    "Adam": (lambda: legacy.Adam(0.3), by_hand.adam),
    "Adamax": (lambda: legacy.Adamax(0.3), by_hand.adamax),
}


def live_clr():
    return CyclicLR(**LR, **BAND)


def sequence(num_steps):
    """The rates and momenta of `live_clr`."""
    policy = live_clr().policy
    return [policy(k) for k in range(num_steps)], [policy.momentum(k) for k in range(num_steps)]


class TestLegacyOptimizers:
    """`keras.optimizers.legacy`, which keep their numbers in variables."""

    @pytest.mark.parametrize("wrapped", [False, True])
    @pytest.mark.parametrize("compile_arguments", [{}, {"run_eagerly": True}, {"jit_compile": True}])
    def test_every_batch_its_own_rate(self, compile_arguments, wrapped):
        """Batch k uses lr(k), over several fits."""
        optimizer = legacy.SGD(0.25)
        if wrapped:
            optimizer = LossScaleOptimizer(optimizer, dynamic=False, initial_scale=4.0)
        model = spelling_model(3, optimizer, **compile_arguments)
        clr = doubling_clr()
        fit(model, [clr], epochs=2)
        fit(model, [clr])
        assert steps_used(model) == trained_in_order([0, 1, 2] * 3)

    def test_schedule(self):
        """CyclicSchedule is one of their schedules as well."""
        model = spelling_model(3, legacy.SGD(doubling_schedule()), steps_per_execution=2)
        fit(model, epochs=2)
        assert steps_used(model) == trained_in_order([0, 1, 2] * 2)

    @pytest.mark.parametrize("rate", [CyclicSchedule(), lambda: 0.1], ids=["schedule", "function"])
    def test_schedules_are_refused(self, rate):
        """CyclicLR does not replace a schedule or function without a word."""
        model = spelling_model(3, legacy.SGD(rate, name="mine"))
        with pytest.raises(ValueError, match=r"'mine' was built with a schedule.*Compile with a float"):
            fit(model, [CyclicLR()])
        assert updates(model).tolist() == [0, 0, 0]

    @pytest.mark.parametrize("run_eagerly", [False, True])
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_momentum(self, name, run_eagerly):
        """Momentum reaches the weights, also after a fit without it, and the optimizer has its own afterwards."""
        build, formula = OPTIMIZERS[name]
        model = train(build(), run_eagerly=run_eagerly)
        attribute = "beta_1" if hasattr(model.optimizer, "beta_1") else "momentum"
        own = float(getattr(model.optimizer, attribute))
        train(None, [live_clr()], model=model)
        rates, momenta = sequence(24)
        gradients = np.concatenate([GRADIENTS] * 2)
        expected = formula(gradients, [0.3] * 12 + rates[12:], [own] * 12 + momenta[12:])
        assert weights(model) == pytest.approx(expected, rel=2e-5, abs=1e-6)
        assert float(getattr(model.optimizer, attribute)) == own
        standing_still = formula(gradients, [0.3] * 12 + rates[12:], [own] * 24)
        assert weights(model) != pytest.approx(standing_still, rel=1e-2)

    def test_momentum_over_replicas(self):
        """With variables that are mirrored over replicas as well."""
        import tensorflow as tf

        with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
            model = spelling_model(3, legacy.SGD(0.3, momentum=0.7))
        train(None, [live_clr()], model=model)
        assert weights(model) == pytest.approx(by_hand.sgd(GRADIENTS, *sequence(12)), rel=2e-5, abs=1e-6)

    def test_momentum_in_a_first_fit(self):
        """The first step makes the variables; it has the right momentum already."""
        model = train(legacy.SGD(0.3, momentum=0.7), [live_clr()])
        assert weights(model) == pytest.approx(by_hand.sgd(GRADIENTS, *sequence(12)), rel=2e-5, abs=1e-6)

    @pytest.mark.parametrize(
        ("optimizer", "message"),
        [
            (lambda: legacy.SGD(0.3), "was built without momentum"),
            (lambda: legacy.Adagrad(0.3), "has no momentum"),
            (lambda: legacy.Adam(0.3, beta_1=lambda: 0.9), "has a beta_1 that is no number"),
        ],
    )
    def test_no_momentum(self, optimizer, message):
        """What cannot cycle is refused by name."""
        with pytest.raises(ValueError, match=message):
            train(optimizer(), [live_clr()])


@pytest.mark.parametrize("fits_before", [0, 1])
def test_an_update_that_is_compiled_by_the_optimizer(fits_before):
    """On a GPU an optimizer compiles its update once: the momentum that it then had is not the one used for ever."""
    optimizer = keras.optimizers.SGD(0.3, momentum=0.7)
    optimizer.jit_compile = True  # What Keras sets there.
    model = spelling_model(3, optimizer)
    for _ in range(fits_before):
        train(None, model=model)
    train(None, [live_clr()], model=model)
    train(None, model=model)
    first = 12 * fits_before
    rates, momenta = sequence(first + 12)
    rates = [0.3] * first + rates[first:] + [rates[-1]] * 12
    momenta = [0.7] * first + momenta[first:] + [0.7] * 12
    gradients = np.concatenate([GRADIENTS] * (2 + fits_before))
    assert weights(model) == pytest.approx(by_hand.sgd(gradients, rates, momenta), rel=2e-5, abs=1e-6)


@pytest.mark.parametrize("total_steps", [None, 36])
def test_one_cycle_resumed_within_an_epoch(total_steps, tmp_path):
    """Keras 2 goes on with the batch after the backup: the rates are those of an undisturbed run."""

    class Boom(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 20:
                raise RuntimeError("boom")

    def run(*others):
        clr = OneCycleLR(0.1, total_steps, cycle_momentum=False)
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=5)
        train(keras.optimizers.SGD(0.3), [clr, backup, *others], epochs=3)
        return clr.history

    with pytest.raises(RuntimeError, match="boom"):
        run(Boom())
    history = run()
    assert history["step"] == list(range(20, 36))
    assert history["learning_rate"] == pytest.approx(OneCycleLR(0.1, 36).simulate(36)[20:])


@pytest.mark.skipif(VERSION < (2, 14), reason="steps_per_execution='auto' came with Keras 2.14")
def test_groups_that_keras_sizes():
    """steps_per_execution="auto": every group uses the rate of its first batch, whatever its size."""
    model = spelling_model(8)
    model.compile(keras.optimizers.SGD(0.25), loss=model.loss, steps_per_execution="auto")
    clr = doubling_clr()
    fit(model, [clr], epochs=2)
    starts = clr.history["step"]
    expected = [[max(start for start in starts if start <= step) for step in (k, 8 + k)] for k in range(8)]
    assert steps_used(model) == expected


@pytest.mark.parametrize(
    "name", ["find_lr", "LRCurve", "StuckDetector", "diagnose", "Diagnosis", "Finding", "study", "Study"]
)
def test_what_needs_keras_3(name):
    """The other public names say which Keras they need, and which is there."""
    assert name not in keras_clr.__all__
    found = rf"needs Keras 3\.\d+ or later\. Found {'tf_keras' if LEGACY else 'keras'} 2\."
    with pytest.raises(ImportError, match=rf"keras_clr\.{name} {found}"):
        getattr(keras_clr, name)


def test_a_name_that_is_nowhere():
    """A misspelt name is no matter of Keras' version."""
    assert not hasattr(keras_clr, "CyclicLr")
