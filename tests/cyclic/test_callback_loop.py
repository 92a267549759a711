"""`CyclicLR` among others in the training loop: custom models, curious callbacks, crashes."""

import numpy as np
import pytest
from any_keras import keras
from cyclic.spelling import (
    doubling_clr,
    fit,
    spelling_model,
    steps_used,
    trained_in_order,
    unit_vectors,
    updates,
)

from keras_clr import CyclicLR


class Counting(keras.Sequential):
    """A model with a training step of its own."""

    steps_made = 0

    def train_step(self, *args, **kwargs):
        self.steps_made += 1
        return super().train_step(*args, **kwargs)


class Wrapping(keras.Sequential):
    """A model with a train function of its own."""

    calls_made = 0

    def make_train_function(self, force=False):
        if self.train_function is not None and not force:
            return self.train_function
        super().make_train_function(force)
        inner = self.train_function

        def counted(*args):
            self.calls_made += 1
            return inner(*args)

        self.train_function = counted
        return counted  # To Keras 2, which takes it from here.


class TestCustomTraining:
    """Models that train in their own way."""

    def test_train_step(self):
        """A train_step of one's own is used, with the right rates."""
        model = spelling_model(3, model_class=Counting)
        fit(model, [doubling_clr()], epochs=2)
        assert steps_used(model) == trained_in_order([0, 1, 2] * 2)
        assert model.steps_made > 0

    def test_train_function(self):
        """A train function of one's own is called for every batch, and is still there afterwards."""
        model = spelling_model(3, model_class=Wrapping)
        model.make_train_function()
        own = model.train_function
        fit(model, [doubling_clr()], epochs=2)
        assert steps_used(model) == trained_in_order([0, 1, 2] * 2)
        assert model.calls_made == 6
        assert model.train_function is own

    def test_train_function_is_given_back(self):
        """After training, the model has the very train function that it had before."""
        model = spelling_model(3)
        fit(model)
        before = model.train_function
        fit(model, [doubling_clr()])
        assert model.train_function is before

    def test_train_function_is_given_back_after_crashes(self):
        """Crashed runs cannot give anything back; the next whole run does, however many they were."""
        model = spelling_model(3)
        fit(model)
        before = model.train_function
        for _ in range(3):
            with pytest.raises(RuntimeError, match="boom"):
                fit(model, [doubling_clr(), Boom(1)], epochs=2)
        fit(model, [CyclicLR()])
        assert model.train_function is before

    def test_training_loop_of_ones_own(self):
        """In a loop around train_on_batch that calls the hooks itself, batch k uses lr(k)."""
        model = spelling_model(3)
        x, y = unit_vectors(3)
        callbacks = keras.callbacks.CallbackList([doubling_clr()], model=model)
        callbacks.on_train_begin()
        for epoch in range(2):
            callbacks.on_epoch_begin(epoch)
            for k in range(3):
                callbacks.on_train_batch_begin(k)
                model.train_on_batch(x[k : k + 1], y[k : k + 1])
                callbacks.on_train_batch_end(k)
            callbacks.on_epoch_end(epoch)
        callbacks.on_train_end()
        assert steps_used(model) == trained_in_order([0, 1, 2] * 2)

    def test_hooks_that_were_left_out(self):
        """Each hook that a loop leaves out is named by an error, before a rate is set."""
        model, clr = spelling_model(3), doubling_clr()
        with pytest.raises(RuntimeError, match=r"compiled model.*`clr\.set_model\(model\)`.*Received: model=None"):
            clr.on_train_begin()
        clr.set_model(model)
        with pytest.raises(RuntimeError, match=r"call `on_train_begin\(\)` before"):
            clr.on_epoch_begin(0)
        for begin in (lambda: None, clr.on_train_begin):
            begin()
            with pytest.raises(RuntimeError, match=r"call `on_train_begin\(\)` once, and `on_epoch_begin\(epoch\)`"):
                clr.on_train_batch_begin(0)
        assert float(model.optimizer.learning_rate) == 0.25

    def test_hooks_that_end_what_never_began(self):
        """The end hooks alone do nothing: a loop may end before its first epoch."""
        clr = doubling_clr()
        clr.set_model(spelling_model(3))
        clr.on_epoch_end(0, {})
        clr.on_train_end()
        assert clr.history["step"] == []

    @pytest.mark.parametrize("position", [0, 1])
    @pytest.mark.parametrize("epoch", [0, 1])
    def test_train_function_replaced_by_others(self, epoch, position):
        """Another callback that makes the model compile its step anew between epochs does not cost a single rate."""

        class Remake(keras.callbacks.Callback):
            def on_epoch_begin(self, begun, logs=None):
                if begun == epoch:
                    self.model.make_train_function(force=True)

        callbacks = [doubling_clr()]
        callbacks.insert(position, Remake())
        model = spelling_model(3)
        fit(model, callbacks, epochs=3)
        assert steps_used(model) == trained_in_order([0, 1, 2] * 3)

    def test_train_function_replaced_within_an_epoch(self):
        """The same in the middle of an epoch, before our hook."""

        class Remake(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                if batch == 1:
                    self.model.make_train_function(force=True)

        model = spelling_model(4)
        fit(model, [Remake(), doubling_clr()], epochs=3)
        assert steps_used(model) == trained_in_order([0, 1, 2, 3] * 3)


class Touch(keras.callbacks.Callback):
    """Asks for the model in every hook: on JAX that puts the trainer's state back into the variables."""

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.iterations  # noqa: B018 - looking is the point

    def on_train_batch_end(self, batch, logs=None):
        self.model.optimizer.iterations  # noqa: B018


class Boom(keras.callbacks.Callback):
    """Raises before a batch of the second epoch."""

    def __init__(self, batch):
        super().__init__()
        self.at = batch
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == (1, self.at):
            raise RuntimeError("boom")


class TestOthersInTheLoop:
    """Other callbacks in the same run, well behaved or not."""

    @pytest.mark.parametrize("position", [0, 1])
    def test_others_look_at_the_model(self, position):
        """Callbacks that ask for the model before or after us change no rate."""
        callbacks = [doubling_clr()]
        callbacks.insert(position, Touch())
        model = spelling_model(3)
        fit(model, callbacks, epochs=3)
        assert steps_used(model) == trained_in_order([0, 1, 2] * 3)

    @pytest.mark.parametrize("every", [2, 3])
    def test_others_look_now_and_then(self, every):
        """A callback that asks for the model at some batches changes no rate, before them or after."""

        class Sometimes(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                if batch % every == 0:
                    self.model.optimizer.iterations  # noqa: B018

        model = spelling_model(5)
        fit(model, [doubling_clr(), Sometimes()], epochs=3)
        assert steps_used(model) == trained_in_order([0, 1, 2, 3, 4] * 3)

    @pytest.mark.parametrize("batch", [0, 1, 2])
    def test_after_a_crash_the_next_fit_is_its_own(self, batch):
        """A rate that a crash kept from being used does not reach a later fit without CyclicLR."""
        model = spelling_model(3)
        with pytest.raises(RuntimeError, match="boom"):
            fit(model, [doubling_clr(), Boom(batch)], epochs=2)
        model.get_layer("spelled").set_weights([np.zeros((3, 1))])
        own = float(model.optimizer.learning_rate)
        fit(model)
        assert updates(model).tolist() == [own] * 3

    @pytest.mark.parametrize("batch", [0, 1, 2])
    def test_after_a_crash_the_cycle_goes_on(self, batch):
        """The next fit with CyclicLR goes on after the batches that were trained before the crash."""
        model = spelling_model(3)
        clr = doubling_clr()
        with pytest.raises(RuntimeError, match="boom"):
            fit(model, [clr, Boom(batch)], epochs=2)
        fit(model, [clr])
        assert steps_used(model) == trained_in_order([0, 1, 2, *range(batch), 0, 1, 2])

    def test_a_scale_fn_without_a_value(self):
        """A scale function that fails in mid-training ends it before the rate is set: the last one is still there."""
        model = spelling_model(3)
        clr = CyclicLR(1.0, 2.0, 1, scale_fn=lambda cycle: 1 / (3 - cycle))
        with pytest.raises(ValueError, match=r"`scale_fn` must return .*scale_fn\(3\) raised ZeroDivisionError"):
            fit(model, [clr], epochs=3)
        assert clr.history["learning_rate"] == [1, 1.5, 1, 2]
        assert float(model.optimizer.learning_rate) == 2
        assert updates(model).tolist() == [3, 1.5, 1]

    def test_a_crash_in_the_data(self):
        """An exception while the next batch is fetched leaves nothing behind either."""
        x, y = unit_vectors(3)

        def broken():
            yield x[:1], y[:1]
            yield x[1:2], y[1:2]
            yield x[2:], y[2:]
            raise OSError("disk")

        model = spelling_model(3)
        with pytest.raises(Exception, match="disk"):
            fit(model, [doubling_clr()], data=broken())
        before = steps_used(model)
        # JAX up to Keras 3.14 fetches a batch ahead, and so does not come to train the last one.
        assert before in (trained_in_order([0, 1, 2]), [[0], [1], []])
        fit(model, [doubling_clr()])
        counted = int(model.optimizer.iterations) - 3
        assert steps_used(model) == [[*before[k], counted + k] for k in range(3)]
