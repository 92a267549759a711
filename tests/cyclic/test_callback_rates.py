"""`CyclicLR` by its effect: which rate trained which batch, in every way that Keras runs a step."""

import numpy as np
import pytest
from any_keras import KERAS_2, LossScaleOptimizer, keras, set_dtype_policy
from cyclic.spelling import (
    doubling_clr,
    fit,
    mean_prediction,
    spelling_model,
    steps_used,
    trained_in_order,
    unit_vectors,
    updates,
)

from keras_clr import CyclicLR


class TestWaysToRunAStep:
    """Batch k uses lr(k), however the step is compiled."""

    @pytest.mark.parametrize("compile_arguments", [{}, {"run_eagerly": True}, {"jit_compile": False}])
    def test_plain(self, compile_arguments):
        """Batch k uses lr(k) over several epochs."""
        model = spelling_model(4, **compile_arguments)
        fit(model, [doubling_clr()], epochs=3)
        assert steps_used(model) == trained_in_order([0, 1, 2, 3] * 3)

    # torch.compile itself uses what torch has deprecated.
    @pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
    def test_jit_compile(self):
        """Batch k uses lr(k) when the whole step is compiled: the rate is not baked in."""
        model = spelling_model(4, jit_compile=True)
        fit(model, [doubling_clr()], epochs=2)
        assert steps_used(model) == trained_in_order([0, 1, 2, 3] * 2)

    @pytest.mark.parametrize("steps_per_execution", [1, 2, 4, 5])
    def test_steps_per_execution(self, steps_per_execution, backend):
        """A group of batches uses the rate of its first batch, and an epoch that ends within a group shifts nothing."""
        model = spelling_model(5, steps_per_execution=steps_per_execution)
        if backend == "torch" and steps_per_execution > 1:
            with pytest.raises(ValueError, match="`steps_per_execution` must be 1 with the PyTorch backend"):
                fit(model, [doubling_clr()])
            return
        fit(model, [doubling_clr()], epochs=3)
        group_starts = [batch - batch % steps_per_execution for batch in range(5)]
        assert steps_used(model) == [[start, 5 + start, 10 + start] for start in group_starts]

    @pytest.mark.parametrize("num_batches", [4, 3])
    @pytest.mark.keras3("gradient accumulation")
    def test_gradient_accumulation(self, num_batches):
        """The position counts updates, also when an update reaches over two epochs."""
        model = spelling_model(num_batches, keras.optimizers.SGD(0.25, gradient_accumulation_steps=2))
        fit(model, [doubling_clr()], epochs=2)
        order = list(range(num_batches)) * 2
        assert steps_used(model, accumulation=2) == trained_in_order(order, accumulation=2)

    def test_verbatim(self):
        """The call of many old scripts works, and trains with its rates."""
        clr = CyclicLR(base_lr=0.000005, max_lr=0.0003, step_size=200.0)
        model = spelling_model(3)
        fit(model, [clr])
        assert updates(model) == pytest.approx([5e-6, 5e-6 + 2.95e-4 / 200, 5e-6 + 2 * 2.95e-4 / 200], rel=1e-6)

    def test_defaults_are_the_old_ones(self):
        """Without arguments: 0.001 to 0.006 in 2000 batches."""
        policy = CyclicLR().policy
        assert [policy(step) for step in (0, 1000, 2000, 4000)] == pytest.approx([0.001, 0.0035, 0.006, 0.001])

    def test_positional_arguments(self):
        """The first seven arguments keep the order of the well-known callback."""
        clr = CyclicLR(0.1, 0.9, 4, "triangular", 1.0, lambda x: 0.5**x, "iterations")
        assert clr.policy(2) == pytest.approx(0.1 + 0.8 * 0.5 * 0.25)
        assert CyclicLR(0.1, 0.9, 4, "exp_range", 0.5).policy(2) == pytest.approx(0.1 + 0.8 * 0.5 * 0.25)

    def test_optimizers_with_slots(self):
        """Adam's first update moves a weight by the rate, whatever the gradient: it is lr(0)."""
        model = spelling_model(1, keras.optimizers.Adam(0.25))
        fit(model, [CyclicLR(1e-3, 1e-2, 4)])
        assert updates(model) == pytest.approx([1e-3], rel=1e-3)

    def test_model_without_an_input_shape(self):
        """A model that is built by its first batch has the right rate for that batch already."""
        model = keras.Sequential([keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="spelled")])
        model.compile(keras.optimizers.SGD(0.25), loss=mean_prediction)
        x, y = unit_vectors(3)
        model.fit(x, y, batch_size=1, shuffle=False, verbose=0, callbacks=[doubling_clr()])
        assert steps_used(model) == trained_in_order([0, 1, 2])

    def test_the_last_rate_stays(self):
        """After training, the optimizer holds the rate that was last used."""
        model = spelling_model(3)
        fit(model, [doubling_clr()])
        assert float(model.optimizer.learning_rate) == 4.0


class TestSkippedUpdates:
    """mixed_float16: a batch whose gradients overflow changes nothing, but it was a batch."""

    @pytest.fixture
    def overflowing(self):
        """A model with loss scaling, and data whose second batch overflows."""
        set_dtype_policy("mixed_float16")
        model = spelling_model(4)
        assert isinstance(model.optimizer, LossScaleOptimizer)
        x, y = unit_vectors(4)
        x[1, 1] = np.inf
        return model, {"x": x, "y": y}

    def test_the_clock_goes_on(self, overflowing):
        """Batches after a skipped one use the rate of their own number, in this epoch and the next."""
        model, data = overflowing
        fit(model, [doubling_clr()], epochs=2, **data)
        assert steps_used(model) == [[0, 4], [], [2, 6], [3, 7]]
        assert int(model.optimizer.iterations) == (8 if KERAS_2 else 6)

    def test_the_clock_goes_on_in_the_next_fit(self, overflowing):
        """The same callback goes on at the true batch number, which the optimizer does not know."""
        model, data = overflowing
        clr = doubling_clr()
        fit(model, [clr], **data)
        fit(model, [clr], epochs=2, **data)
        assert steps_used(model) == [[0, 4, 8], [], [2, 6, 10], [3, 7, 11]]

    def test_a_new_callback_asks_the_optimizer(self, overflowing):
        """A new callback can only start from the optimizer's count, which misses the skipped batch on Keras 3."""
        model, data = overflowing
        fit(model, [doubling_clr()], **data)
        fit(model, [doubling_clr()], **data)
        expected = [[0, 4], [], [2, 6], [3, 7]] if KERAS_2 else [[0, 3], [], [2, 5], [3, 6]]
        assert steps_used(model) == expected


class TestSeveralFits:
    """The clock is the model's, not the callback's."""

    @pytest.mark.parametrize("new_callback", [False, True])
    def test_two_fits(self, new_callback):
        """A second fit goes on where the first ended, with the same callback and with a new one."""
        model = spelling_model(3)
        clr = doubling_clr()
        fit(model, [clr], epochs=2)
        fit(model, [doubling_clr() if new_callback else clr], epochs=2)
        assert steps_used(model) == trained_in_order([0, 1, 2] * 4)

    def test_a_fit_without_it_in_between(self):
        """Batches that were trained without CyclicLR count as well: it goes on where the weights are."""
        model = spelling_model(2)
        clr = doubling_clr()
        fit(model, [clr])
        model.optimizer.learning_rate = 0.0
        fit(model)
        fit(model, [clr])
        assert steps_used(model) == [[0, 4], [1, 5]]

    def test_initial_epoch(self):
        """initial_epoch moves nothing by itself: a fresh optimizer starts the cycle at its beginning."""
        model = spelling_model(3)
        fit(model, [doubling_clr()], epochs=6, initial_epoch=4)
        assert steps_used(model) == trained_in_order([0, 1, 2] * 2)

    def test_after_two_thousand_million_batches(self):
        """A count near the end of 32 bits is a place in the cycle like any other."""
        clr = CyclicLR(1.0, 3.0, 2000.37)
        model = spelling_model(2)
        model.optimizer.iterations.assign(2**31 - 3)
        fit(model, [clr])
        assert updates(model) == pytest.approx([clr.policy(2**31 - 3), clr.policy(2**31 - 2)], rel=1e-6)

    def test_recompiling_starts_again(self):
        """A new optimizer has trained nothing: the cycle starts again, also for the same callback."""
        model = spelling_model(3)
        clr = doubling_clr()
        fit(model, [clr])
        model.compile(keras.optimizers.SGD(0.25), loss=mean_prediction)
        model.get_layer("spelled").set_weights([np.zeros((3, 1))])
        fit(model, [clr])
        assert steps_used(model) == trained_in_order([0, 1, 2])

    def test_one_callback_for_two_models(self):
        """Each model is at its own place in the cycle."""
        first, second = spelling_model(3), spelling_model(3)
        clr = doubling_clr()
        for model in (first, second, first):
            fit(model, [clr])
        assert steps_used(first) == trained_in_order([0, 1, 2] * 2)
        assert steps_used(second) == trained_in_order([0, 1, 2])

    @pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end"])
    def test_stopped_within_an_epoch(self, hook):
        """After `stop_training` in mid-epoch, the next fit goes on with the next batch's rate."""

        class Stop(keras.callbacks.Callback):
            def stop(self, batch, logs=None):
                self.model.stop_training = batch == 1

        setattr(Stop, hook, Stop.stop)
        model = spelling_model(4)
        clr = doubling_clr()
        fit(model, [clr, Stop()])
        fit(model, [clr])
        assert steps_used(model) == trained_in_order([0, 1, 0, 1, 2, 3])
