"""`CyclicLR` with lengths in epochs, resolved when training starts."""

import pytest
from any_keras import keras
from cyclic.spelling import fit, rows, spelling_model, updates

from keras_clr import CyclicLR
from keras_clr._errors import KerasCLRWarning

NUM_BATCHES = 5


class TestLengthsInEpochs:
    """step_size_unit="epochs"."""

    @staticmethod
    def clr(step_size, **arguments):
        return CyclicLR(1.0, 3.0, step_size, step_size_unit="epochs", **arguments)

    def test_whole_epochs(self):
        """A step_size of one epoch of four batches climbs in four batches."""
        model = spelling_model(4)
        clr = self.clr(1)
        fit(model, [clr], epochs=2)
        assert clr.history["learning_rate"] == [1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5]
        assert updates(model) == pytest.approx([4, 4, 4, 4])

    def test_fractions_of_an_epoch(self):
        """Half an epoch of five batches is two and a half batches: five are a whole cycle."""
        model = spelling_model(5)
        clr = self.clr(0.5)
        fit(model, [clr], epochs=2)
        assert clr.policy.period == 5
        assert updates(model) == pytest.approx([2 * clr.policy(k) for k in range(5)], rel=1e-6)

    def test_a_fall_of_another_length(self):
        """step_size_down is in the same unit."""
        clr = self.clr(0.5, step_size_down=1.5)
        fit(spelling_model(4), [clr])
        assert (clr.policy.step_size_up, clr.policy.step_size_down) == (2, 6)

    @pytest.mark.keras3("gradient accumulation")
    def test_with_accumulation(self):
        """An epoch is counted in updates: four batches, two of them an update, are two."""
        model = spelling_model(4, keras.optimizers.SGD(0.25, gradient_accumulation_steps=2))
        clr = self.clr(1)
        fit(model, [clr], epochs=2)
        assert clr.policy.step_size_up == 2
        assert updates(model) * 2 == pytest.approx([1 + 3, 1 + 3, 2 + 2, 2 + 2])

    def test_with_steps_per_epoch(self):
        """steps_per_epoch makes data of unknown length known."""

        def endless():
            while True:
                yield from rows(NUM_BATCHES)

        clr = self.clr(1)
        fit(spelling_model(NUM_BATCHES), [clr], data=endless(), steps_per_epoch=3)
        assert clr.policy.step_size_up == 3

    def test_other_data_in_the_next_fit(self):
        """The length is resolved anew for every fit."""
        model = spelling_model(4)
        clr = self.clr(1)
        fit(model, [clr])
        fit(model, [clr], batch_size=2)
        assert clr.policy.step_size_up == 2

    def test_a_warning_is_given_once(self):
        """What the constructor has warned of, `fit` does not repeat: any further warning fails the tests."""
        with pytest.warns(KerasCLRWarning, match="never shrinks"):
            clr = self.clr(1, mode="exp_range")
        fit(spelling_model(4), [clr])
        assert clr.policy.step_size_up == 4

    def test_unknown_length(self):
        """Data that does not say its length is an error with the way out, before anything is touched."""
        model = spelling_model(NUM_BATCHES)
        with pytest.raises(ValueError, match=r"step_size_unit='epochs' needs data of known length.*`steps_per_epoch`"):
            fit(model, [self.clr(1)], data=rows(NUM_BATCHES))
        assert updates(model).tolist() == [0] * NUM_BATCHES
        assert float(model.optimizer.learning_rate) == 0.25

    def test_unknown_length_leaves_the_train_function(self):
        """That error leaves no trace in the model."""
        model = spelling_model(NUM_BATCHES)
        model.make_train_function()
        before = model.train_function
        with pytest.raises(ValueError, match="needs data of known length"):
            fit(model, [self.clr(1)], data=rows(NUM_BATCHES))
        assert model.train_function is before

    def test_less_than_a_batch(self):
        """A rise shorter than one batch is an error when training starts, before anything is touched."""
        model = spelling_model(5)
        with pytest.raises(ValueError, match=r"`step_size` must be between 1 .*step_size=0\.1 epochs; .*epoch: 5$"):
            fit(model, [self.clr(0.1)])
        assert updates(model).tolist() == [0] * 5
        assert float(model.optimizer.learning_rate) == 0.25

    def test_not_known_yet(self):
        """Before training, `policy`, `simulate` and `plot` say why they cannot answer and what to do."""
        clr = self.clr(1)
        for ask in (lambda: clr.policy, lambda: clr.simulate(3), clr.plot):
            with pytest.raises(ValueError, match=r"only known when training starts.*`step_size` in batches"):
                ask()

    def test_bad_arguments_are_found_at_once(self):
        """The constructor does not wait for training to refuse what can never be right."""
        with pytest.raises(ValueError, match=r"`step_size` must be .*step_size=-1"):
            self.clr(-1)
        with pytest.raises(ValueError, match=r"`step_size_unit` must be one of 'batches', 'epochs'\. Rec.*='steps'"):
            CyclicLR(step_size_unit="steps")
