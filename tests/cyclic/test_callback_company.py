"""`CyclicLR` beside callbacks that set the learning rate as well."""

import pytest
from any_keras import dtype_of, keras, set_floatx
from cyclic.company import our_warnings, plateau
from cyclic.spelling import (
    doubling_clr,
    fit,
    spelling_model,
    steps_used,
    trained_in_order,
    updates,
)

from keras_clr import CyclicLR


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

    @pytest.mark.keras3("gradient accumulation")
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

    @pytest.mark.parametrize("floatx", ["float16", pytest.param("bfloat16", marks=pytest.mark.keras3("that floatx"))])
    def test_rounding_is_no_change(self, floatx):
        """An optimizer that keeps its rate in 16 bits, or below their normal range, is not taken for a callback."""
        set_floatx(floatx)
        clr = CyclicLR(5e-6, 3e-4, 7, on_external_change="scale")
        model = spelling_model(3)
        assert dtype_of(model.optimizer.learning_rate) == floatx
        assert our_warnings(lambda: fit(model, [clr], epochs=3)) == []
        assert clr.history["learning_rate"] == clr.simulate(9).tolist()

    def test_logged(self):
        """The rate in the logs is the one that was used, whatever the other callback logs before."""
        model = spelling_model(3)
        callbacks = [keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate), doubling_clr()]
        history = fit(model, callbacks, epochs=2)
        assert history.history["learning_rate"] == pytest.approx([4, 32])


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
