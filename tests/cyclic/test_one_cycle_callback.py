"""`OneCycleLR` and `OneCycleSchedule` in training, judged by the weights."""

import json

import numpy as np
import pytest
from any_keras import keras
from cyclic import momentum as by_hand
from cyclic.company import our_warnings
from cyclic.momentum import GRADIENTS, train, weights
from cyclic.spelling import fit, ran_out, rows, spelling_model

from keras_clr import OneCycleLR, OneCycleSchedule
from keras_clr._restarts import note_restart

SHAPE = {"pct_start": 0.4, "div_factor": 5, "final_div_factor": 100}


def sgd(**arguments):
    return keras.optimizers.SGD(0.3, momentum=0.7, **arguments)


def one_cycle(total_steps=None, **arguments):
    return OneCycleLR(0.1, total_steps, **{**SHAPE, **arguments})


def expected(steps, total_steps, gradients=None, **arguments):
    """The weights after the given steps of a cycle, by the formula of SGD."""
    policy = one_cycle(total_steps, **arguments).policy
    if gradients is None:
        gradients = [GRADIENTS[k % 12] for k in range(len(steps))]
    return by_hand.sgd(gradients, [policy(k) for k in steps], [policy.momentum(k) for k in steps])


def close():
    return {"rel": 2e-5, "abs": 1e-6}


class TestTheRunIsTheCycle:
    """Without `total_steps`."""

    @pytest.mark.parametrize("arguments", [{}, {"three_phase": True, "wave": "linear"}, {"preset": "fastai"}])
    def test_all_epochs(self, arguments):
        """Epochs times batches make the cycle, in rate and momentum, batch by batch."""
        model = train(sgd(), [clr := one_cycle(**arguments)], epochs=2)
        assert clr.policy.total_steps == 24
        assert weights(model) == pytest.approx(expected(range(24), 24, **arguments), **close())

    def test_records(self):
        """The record has peak and end exactly; the logs have what was last used."""
        clr = one_cycle()
        model = spelling_model(3, sgd())
        history = fit(model, [clr], 2, GRADIENTS, y=np.zeros((12, 1)), batch_size=1).history
        assert max(clr.history["learning_rate"]) == 0.1
        assert min(clr.history["momentum"]) == 0.85
        assert clr.history["learning_rate"][-1] == history["learning_rate"][-1] == clr.policy.min_lr
        assert history["momentum"][-1] == 0.95

    def test_without_momentum(self):
        """cycle_momentum=False leaves the optimizer its own, and needs none."""
        model = train(keras.optimizers.SGD(0.3), [one_cycle(cycle_momentum=False)])
        policy = one_cycle(12).policy
        rates = [policy(k) for k in range(12)]
        assert weights(model) == pytest.approx(by_hand.sgd(GRADIENTS, rates, [0] * 12), **close())

    def test_a_further_fit_is_a_further_cycle(self):
        """Whatever the optimizer has counted, each fit has its own cycle, of its own length."""
        model, clr = spelling_model(3, sgd()), one_cycle()
        train(None, [clr], epochs=2, model=model)
        train(None, [clr], model=model)
        gradients = [GRADIENTS[k % 12] for k in range(36)]
        long, short = one_cycle(24).policy, one_cycle(12).policy
        rates = [*(long(k) for k in range(24)), *(short(k) for k in range(12))]
        momenta = [*(long.momentum(k) for k in range(24)), *(short.momentum(k) for k in range(12))]
        assert weights(model) == pytest.approx(by_hand.sgd(gradients, rates, momenta), **close())

    def test_initial_epoch(self):
        """A run resumed at an epoch is as far in its cycle, also with a new optimizer."""
        model, clr = spelling_model(3, sgd()), one_cycle()
        data = {"data": GRADIENTS, "y": np.zeros((12, 1)), "batch_size": 1}
        fit(model, [clr], 3, initial_epoch=1, **data)
        assert clr.history["step"] == list(range(12, 36))
        assert weights(model) == pytest.approx(expected(range(12, 36), 36), **close())

    @pytest.mark.parametrize("position", [0, 1])
    def test_backup_and_restore(self, position, tmp_path):
        """A run that crashed and was restored ends with the weights of an undisturbed one."""

        class Boom(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 2:
                    raise RuntimeError("boom")

        def run(model, *others):
            callbacks = [one_cycle(), *others]
            callbacks.insert(position, keras.callbacks.BackupAndRestore(tmp_path / "backup"))
            train(None, callbacks, epochs=3, model=model)
            return weights(model)

        with pytest.raises(RuntimeError, match="boom"):
            run(spelling_model(3, sgd()), Boom())
        assert run(spelling_model(3, sgd())) == pytest.approx(expected(range(36), 36), **close())

    @pytest.mark.keras3("gradient accumulation")
    def test_accumulation(self):
        """The cycle is in updates, and its end is the last one that is made."""
        clr = one_cycle()
        model = train(sgd(gradient_accumulation_steps=5), [clr], epochs=2)
        assert clr.policy.total_steps == 4
        # The last four of the 24 batches complete no update.
        means = np.concatenate([GRADIENTS] * 2)[:20].reshape(4, 5, 3).mean(1)
        assert weights(model) == pytest.approx(expected(range(4), 4, means), **close())

    def test_steps_per_execution(self, backend):
        """A group uses what its first batch should."""
        if backend == "torch":
            pytest.skip("Keras refuses steps_per_execution above 1 on torch")
        model = train(sgd(), [one_cycle()], steps_per_execution=4)
        assert weights(model) == pytest.approx(expected(np.repeat([0, 4, 8], 4).tolist(), 12), **close())

    @ran_out
    def test_unknown_length(self):
        """Data of unknown length are refused before anything is touched; what the error says helps."""
        model = spelling_model(3, sgd())
        with pytest.raises(ValueError, match=r"run of known length.*`steps_per_epoch` to `fit`, or `total_steps`"):
            fit(model, [one_cycle()], data=rows(3))
        assert weights(model).tolist() == [0, 0, 0]
        fit(model, [one_cycle()], data=rows(3), steps_per_epoch=3)
        fit(model, [one_cycle(6)], data=rows(3))

    def test_too_short(self):
        """A run without room for a cycle is an error that says how many steps it has."""
        with pytest.raises(ValueError, match=r"integer >= 3.*Received: total_steps=2"):
            train(sgd(), [one_cycle()], gradients=GRADIENTS[:2])

    def test_not_known_before(self):
        """To see the cycle before training, give its length."""
        with pytest.raises(ValueError, match=r"only known when training starts.*give `total_steps`"):
            one_cycle().simulate(3)

    @pytest.mark.parametrize("epoch", [1, 2])
    def test_fresh_start(self, epoch):
        """After a fresh start in mid-training, what is left of the run is a cycle of its own."""

        class Restart(keras.callbacks.Callback):
            def on_epoch_begin(self, begun, logs=None):
                if begun == epoch:
                    self.model.optimizer.iterations.assign(0)
                    note_restart(self.model)

        clr = one_cycle()
        train(sgd(), [Restart(), clr], epochs=3)
        left = 12 * (3 - epoch)
        assert clr.history["step"] == [*range(12 * epoch), *range(left)]
        assert clr.history["learning_rate"][12 * epoch :] == one_cycle(left).simulate(left).tolist()


class TestWithTotalSteps:
    """With `total_steps`, the step is the optimizer's count."""

    def test_one_epoch_at_a_time(self, tmp_path):
        """Several fits, one of them of a loaded model, make one cycle."""
        model = spelling_model(3, sgd())
        train(None, [one_cycle(36)], model=model)
        train(None, [one_cycle(36)], model=model)
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        train(None, [one_cycle(36)], model=loaded)
        assert weights(loaded) == pytest.approx(expected(range(36), 36), **close())

    def test_past_the_end(self):
        """A longer run stays at the smallest rate, and the highest momentum."""
        model = train(sgd(), [one_cycle(8)])
        assert weights(model) == pytest.approx(expected([*range(8), 7, 7, 7, 7], 8), **close())

    def test_over_before_it_began(self):
        """A cycle that ended in an earlier training is warned about; a fit that goes on with it is not."""
        model = spelling_model(3, sgd())
        assert our_warnings(lambda: train(None, [one_cycle(20)], model=model)) == []
        assert our_warnings(lambda: train(None, [one_cycle(20)], model=model)) == []
        (message,) = our_warnings(lambda: train(None, [one_cycle(20)], model=model))
        assert message.startswith("The optimizer has already made 24 steps, and the cycle has 20: the learning rate")

    def test_message(self, capsys):
        """The line at the start of an epoch says where the cycle is."""
        train(sgd(), [one_cycle(24, verbose=1)], epochs=2)
        message = "Epoch 2: OneCycleLR starts at learning rate 0.0891134, momentum 0.8609 (step 12 of 24)."
        assert message in capsys.readouterr().out


class TestRefused:
    """Optimizers."""

    def test_no_momentum(self):
        """The default, cycle_momentum=True, needs one."""
        with pytest.raises(
            ValueError, match=r"Compile with `SGD\(\.\.\., momentum=0\.9\)`.*Or pass cycle_momentum=False"
        ):
            train(keras.optimizers.SGD(0.3), [one_cycle()])

    def test_a_schedule(self):
        """An optimizer with a schedule is told of the one that has the same cycle."""
        optimizer = keras.optimizers.SGD(OneCycleSchedule(0.1, 12), momentum=0.7)
        message = r"OneCycleLR sets .*`SGD\(learning_rate=0\.02\)`, and keep OneCycleLR; .*`keras_clr\.OneCycleSchedule"
        with pytest.raises(ValueError, match=message):
            train(optimizer, [one_cycle()])


class TestSchedule:
    """`OneCycleSchedule`."""

    def test_reaches_the_weights(self):
        """Batch k uses the policy's rate, and a step past the end the smallest."""
        schedule = OneCycleSchedule(0.1, 10, **SHAPE)
        model = train(keras.optimizers.SGD(schedule, momentum=0.7))
        rates = [schedule.policy(k) for k in range(12)]
        assert weights(model) == pytest.approx(by_hand.sgd(GRADIENTS, rates, [0.7] * 12), **close())

    @pytest.mark.keras3("gradient accumulation")
    def test_accumulation(self):
        """Counted in updates if told so."""
        schedule = OneCycleSchedule(0.1, 6, **SHAPE, gradient_accumulation_steps=2)
        model = train(keras.optimizers.SGD(schedule, momentum=0.7, gradient_accumulation_steps=2))
        rates = [schedule.policy(k) for k in range(6)]
        means = GRADIENTS.reshape(6, 2, 3).mean(1)
        assert weights(model) == pytest.approx(by_hand.sgd(means, rates, [0.7] * 6), **close())

    @pytest.mark.parametrize("preset", [None, "pytorch", "fastai"])
    def test_config(self, preset):
        """The configuration survives JSON and makes the same schedule."""
        schedule = OneCycleSchedule(0.1, np.int64(20), **SHAPE, preset=preset, name="mine")
        again = OneCycleSchedule.from_config(json.loads(json.dumps(schedule.get_config())))
        assert again.get_config() == schedule.get_config()
        assert again.simulate(25).tolist() == schedule.simulate(25).tolist()

    def test_saved_with_a_model(self, tmp_path):
        """A model saved in the middle of the cycle is loaded without being told, and goes on."""
        model = train(keras.optimizers.SGD(OneCycleSchedule(0.1, 24, **SHAPE), momentum=0.7))
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        for each in (model, loaded):
            train(None, model=each)
        assert weights(loaded) == pytest.approx(weights(model))
        assert loaded.optimizer._learning_rate.get_config() == model.optimizer._learning_rate.get_config()

    def test_representations(self):
        """Both front ends show their arguments, and make the same again."""
        for each in (one_cycle(), one_cycle(12, three_phase=True), OneCycleSchedule(0.1, 12, preset="fastai")):
            again = eval(repr(each), {"OneCycleLR": OneCycleLR, "OneCycleSchedule": OneCycleSchedule})
            assert again._arguments == each._arguments

    def test_plot(self):
        """The whole cycle is drawn."""
        plt = pytest.importorskip("matplotlib.pyplot")
        (line,) = OneCycleSchedule(0.1, 30).plot().lines
        plt.close("all")
        assert line.get_ydata().tolist() == OneCycleSchedule(0.1, 30).simulate(30).tolist()
