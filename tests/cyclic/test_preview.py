"""`simulate`, `plot` and the warning about a cycle that dies: all without training, or before it."""

import builtins
import re
import sys
import warnings

import numpy as np
import pytest
from any_keras import keras
from cyclic.company import our_warnings
from cyclic.spelling import fit, rows, spelling_model

from keras_clr import CyclicLR, CyclicSchedule
from keras_clr._errors import KerasCLRWarning
from keras_clr.cyclic.arguments import cyclic_policy
from keras_clr.cyclic.preview import dead_cycle, flat_rise

FRONT_ENDS = pytest.mark.parametrize("front_end", [CyclicLR, CyclicSchedule])


@FRONT_ENDS
class TestSimulate:
    """`simulate(num_steps)`."""

    def test_is_the_policy(self, front_end):
        """Entry k is the policy's rate of step k, in float64."""
        preview = front_end(1e-4, 1e-2, 7.5, mode="triangular2", step_size_down=10, wave="cosine")
        rates = preview.simulate(100)
        policy = cyclic_policy(1e-4, 1e-2, 7.5, mode="triangular2", step_size_down=10, wave="cosine")
        assert rates.dtype == np.float64
        assert rates.tolist() == [policy(step) for step in range(100)]

    @pytest.mark.parametrize("num_steps", [0, -1, 2.0, "3", None, True])
    def test_bad_number(self, front_end, num_steps):
        """The number of steps is a positive integer."""
        message = f"Argument `num_steps` must be a positive integer. Received: num_steps={num_steps!r}"
        with pytest.raises(ValueError, match=re.escape(message)):
            front_end().simulate(num_steps)

    def test_numpy_integer(self, front_end):
        """NumPy's integers are integers."""
        assert front_end(1.0, 5.0, 4).simulate(np.int64(2)).tolist() == [1, 2]


@FRONT_ENDS
class TestPlot:
    """`plot(ax=None)`."""

    @pytest.fixture(autouse=True)
    def _close_figures(self):
        plt = pytest.importorskip("matplotlib.pyplot", reason="plots need matplotlib")
        yield
        plt.close("all")

    def test_on_given_axes(self, front_end):
        """It draws the simulated rates on the Axes that it was given, names both axes, and returns the Axes."""
        import matplotlib.pyplot as plt

        _, ax = plt.subplots()
        preview = front_end(1.0, 5.0, 4)
        assert preview.plot(ax, num_steps=20) is ax
        (line,) = ax.lines
        assert line.get_xdata().tolist() == list(range(20))
        assert line.get_ydata().tolist() == preview.simulate(20).tolist()
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("step", "learning rate")
        assert len(plt.get_fignums()) == 1

    def test_on_new_axes(self, front_end, monkeypatch):
        """Without Axes it makes a figure of its own, of four whole cycles, and shows nothing."""
        import matplotlib.pyplot as plt

        monkeypatch.setattr(plt, "show", lambda *a, **k: pytest.fail("plot() must not show"))
        axes = [front_end(1.0, 5.0, 4.5).plot() for _ in range(2)]
        assert axes[0].figure is not axes[1].figure
        assert axes[0].lines[0].get_xdata().tolist() == list(range(37))

    def test_bad_number(self, front_end):
        """A bad number of steps is refused as in `simulate`."""
        with pytest.raises(ValueError, match="`num_steps` must be a positive integer"):
            front_end().plot(num_steps=0)


@FRONT_ENDS
def test_plot_without_matplotlib(front_end, monkeypatch):
    """Without matplotlib, the error names the extra that brings it."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    with pytest.raises(ImportError, match=re.escape('pip install "keras-clr[plot]"')):
        front_end().plot()


@FRONT_ENDS
def test_simulate_does_not_need_matplotlib(front_end, monkeypatch):
    """Rates can be simulated where nothing can be drawn."""
    real_import = builtins.__import__

    def no_matplotlib(name, *args, **kwargs):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    assert len(front_end().simulate(3)) == 3


class TestDeadCycle:
    """Sick configurations are named with their numbers; their healthy twins are not."""

    def sentence(self, planned_steps, steps_per_epoch, **arguments):
        arguments = {"base_lr": 1e-4, "max_lr": 1e-2, "step_size": 100, **arguments}
        return dead_cycle(cyclic_policy(**arguments), planned_steps, steps_per_epoch)

    def test_triangular2_several_cycles_an_epoch(self):
        """Five cycles an epoch: after one epoch the amplitude is 0.5 ** 5, and the sentence says so."""
        sentence = self.sentence(3000, 1000, mode="triangular2")
        for number in ("every cycle of 200 batches", "5 cycles an epoch", "0.031", "batch 3000"):
            assert number in sentence

    def test_triangular2_too_many_cycles(self):
        """A cycle an epoch for twenty epochs is dead before the end."""
        assert "1.9e-06 at the planned end" in self.sentence(4000, 200, mode="triangular2")

    @pytest.mark.parametrize("planned_steps", [200, 1000, 1999])
    def test_triangular2_healthy(self, planned_steps):
        """Up to ten halvings, one cycle an epoch: nothing to say."""
        assert self.sentence(planned_steps, 200, mode="triangular2") is None

    def test_triangular2_in_one_epoch(self):
        """Several cycles in the only epoch there is are a choice, not an accident."""
        assert self.sentence(1000, 1000, mode="triangular2") is None

    def test_exp_range(self):
        """The step from which less than 0.1 % is left is named, and a gamma that would do."""
        sentence = self.sentence(1000, 100, mode="exp_range", gamma=0.99)
        assert "from batch 687 of 1000 planned ones on" in sentence
        gamma = float(re.search(r"gamma=(\S+) would leave a tenth", sentence)[1])
        assert gamma**1000 == pytest.approx(0.1, rel=1e-4)
        assert self.sentence(1000, 100, mode="exp_range", gamma=gamma) is None

    def test_exp_range_healthy(self):
        """If the last step is just above 0.1 %, there is nothing to say; one step more is one too many."""
        assert 0.99**687 > 1e-3 > 0.99**688
        assert self.sentence(687, 100, mode="exp_range", gamma=0.99) is None
        assert self.sentence(688, 100, mode="exp_range", gamma=0.99) is not None

    def test_scale_fn(self):
        """A scale function that ends near zero is named; one that does not is not."""
        assert "leaves 0.0001 of the amplitude" in self.sentence(200 * 10**4, 200, scale_fn=lambda cycle: 1 / cycle)
        assert self.sentence(200 * 900, 200, scale_fn=lambda cycle: 1 / cycle) is None

    def test_equal_bounds(self):
        """A cycle without amplitude is named."""
        assert "both 0.01: the learning rate never changes" in self.sentence(10, 10, base_lr=0.01)

    def test_triangular(self):
        """The plain triangle never dies."""
        assert self.sentence(10**9, 10**6) is None

    def test_scale_fn_without_a_value(self):
        """A scale function that has no value at the planned end is no reason to stop before training gets there."""
        assert self.sentence(400, 200, scale_fn=lambda cycle: 1 / (2 - cycle)) is None


class TestDeadCycleInTraining:
    """The sentence arrives as one warning, when the plan is known."""

    @staticmethod
    def messages(clr, epochs, data=None, **optimizer_arguments):
        model = spelling_model(4, keras.optimizers.SGD(0.25, **optimizer_arguments))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", KerasCLRWarning)
            warnings.filterwarnings("ignore", message="Your input ran out of data")
            fit(model, [clr], epochs=epochs, data=data)
        return [str(w.message) for w in caught]

    def test_once_at_the_start(self):
        """A dead cycle is one warning for the whole fit."""
        (message,) = self.messages(CyclicLR(0.1, 0.2, 1, "triangular2"), epochs=3)
        assert "2 cycles an epoch" in message
        assert "batch 12" in message

    @pytest.mark.keras3("gradient accumulation")
    def test_counted_in_updates(self):
        """Under accumulation half as many updates are planned: one cycle an epoch, and nothing to say."""
        clr = CyclicLR(0.1, 0.2, 1, "triangular2")
        assert self.messages(clr, epochs=3, gradient_accumulation_steps=2) == []

    def test_silent(self):
        """A healthy cycle is trained without a word."""
        assert self.messages(CyclicLR(0.1, 0.2, 4, "triangular2"), epochs=3) == []

    def test_unknown_length(self):
        """With data of unknown length, it is said, once, when the first epoch has shown the length."""
        (message,) = self.messages(CyclicLR(0.1, 0.2, 1, "exp_range", 0.01), epochs=2, data=rows(4))
        assert "from batch 2 of 8 planned ones on" in message

    def test_in_epochs(self):
        """A length in epochs is judged like one in batches."""
        (message,) = self.messages(CyclicLR(0.1, 0.2, 0.25, "triangular2", step_size_unit="epochs"), epochs=3)
        assert "2 cycles an epoch" in message

    @pytest.mark.parametrize("known", [True, False])
    def test_flat_rise(self, known):
        """The default step_size in a run of a few batches is named, once."""
        (message,) = self.messages(CyclicLR(), epochs=2, data=None if known else rows(4))
        planned = 8
        assert f"step_size=2000 batches is longer than the whole run: in the {planned} planned batches" in message

    def test_flat_rise_one_epoch_at_a_time(self):
        """A loop that calls `fit` for one epoch at a time says nothing of how long it will go on: silence."""
        assert self.messages(CyclicLR(), epochs=1) == []

    def test_flat_rise_goes_on(self):
        """A model that has been trained stands somewhere in its cycle: silence."""
        model, clr = spelling_model(4), CyclicLR(step_size=100)
        fit(model, [clr])
        assert our_warnings(lambda: fit(model, [clr], epochs=2)) == []
        assert len(our_warnings(lambda: fit(spelling_model(4), [clr], epochs=2))) == 1


class TestFlatRise:
    """A step_size far beyond the run is named with its numbers; one that climbs a tenth of the way is not."""

    @staticmethod
    def sentence(planned_steps, **arguments):
        policy = cyclic_policy(**{"base_lr": 0.1, "max_lr": 1.1, "step_size": 1000, **arguments})
        return flat_rise(policy, planned_steps)

    def test_sick(self):
        """Fifty batches of a rise of a thousand: the rate reached and the share of the way are in the sentence."""
        sentence = self.sentence(51)
        for part in ("step_size=1000", "51 planned", "no further than 0.15, 5.0% of the way from base_lr=0.1", "=25 "):
            assert part in sentence

    def test_the_limit(self):
        """A tenth of the way is the last that is named."""
        assert self.sentence(101) is not None
        assert self.sentence(102) is None

    def test_cosine(self):
        """The cosine starts flat, and is judged by how far it gets."""
        assert self.sentence(200, wave="cosine") is not None
        assert self.sentence(210, wave="cosine") is None

    def test_down_again(self):
        """A run that ends at the foot of a later cycle has been at the top."""
        assert self.sentence(2001) is None

    def test_scale_fn(self):
        """A scale function may climb by itself: no verdict."""
        assert self.sentence(51, scale_fn=lambda step: 2.0**step, scale_mode="iterations") is None


class TestRepresentation:
    """`repr` is a call that would make the object again."""

    def test_defaults(self):
        """The cycle's four numbers and words, nothing that was left at its default."""
        text = "CyclicSchedule(base_lr=0.001, max_lr=0.006, step_size=2000.0, mode='triangular')"
        assert repr(CyclicSchedule()) == text
        assert repr(CyclicLR()) == text.replace("Schedule", "LR")

    def test_everything(self):
        """What was given is shown, with plain numbers, and makes the same object again."""
        schedule = CyclicSchedule(np.float32(0.5), 1, np.int64(7), "exp_range", 0.9, step_size_down=3, wave="cosine")
        assert repr(schedule) == (
            "CyclicSchedule(base_lr=0.5, max_lr=1.0, step_size=7.0, mode='exp_range', gamma=0.9, step_size_down=3.0, "
            "wave='cosine')"
        )
        assert eval(repr(schedule)).get_config() == schedule.get_config()
