"""Momentum that cycles: judged by the weights, against a sequence computed by hand."""

import shutil

import numpy as np
import pytest
from any_keras import KERAS_2, VERSION, LossScaleOptimizer, Variable, keras, path_of, set_dtype_policy, set_floatx
from cyclic import momentum as by_hand
from cyclic.momentum import GRADIENTS, train, weights
from cyclic.spelling import fit, mean_prediction, ran_out, spelling_model
from hypothesis import given
from hypothesis import strategies as st
from versions import optimizer_class

from keras_clr import CyclicLR
from keras_clr.cyclic.arguments import checked_momentum, cyclic_policy

LR = {"base_lr": 0.01, "max_lr": 0.05, "step_size": 4}
BAND = {"base_momentum": 0.5, "max_momentum": 0.9}
OPTIMIZERS = {
    "SGD": (lambda: keras.optimizers.SGD(0.3, momentum=0.7), by_hand.sgd),
    "Nesterov": (
        lambda: keras.optimizers.SGD(0.3, momentum=0.7, nesterov=True),
        lambda *arguments: by_hand.sgd(*arguments, nesterov=True),
    ),
    "RMSprop": (lambda: keras.optimizers.RMSprop(0.3, momentum=0.7), by_hand.rmsprop),
    "Adam": (lambda: keras.optimizers.Adam(0.3), by_hand.adam),
    "AdamW": (lambda: keras.optimizers.AdamW(0.3), by_hand.adamw),
    "Nadam": (lambda: keras.optimizers.Nadam(0.3), by_hand.nadam),
    "Adamax": (lambda: keras.optimizers.Adamax(0.3), by_hand.adamax),
    "Lion": (lambda: keras.optimizers.Lion(0.3), by_hand.lion),
}


def live_clr(**arguments):
    return CyclicLR(**LR, cycle_momentum=True, **{**BAND, **arguments})


def sequence(num_steps, first=0):
    """The rates and momenta that `live_clr` is to use, by a formula of their own."""
    height = 1 - np.abs((np.arange(first, first + num_steps) / 4) % 2 - 1)
    return 0.01 + 0.04 * height, 0.9 - 0.4 * height


def sgd():
    return keras.optimizers.SGD(0.3, momentum=0.7)


def expected(num_steps=12, gradients=GRADIENTS):
    """What SGD makes of it."""
    return by_hand.sgd(gradients.astype("float64"), *sequence(num_steps))  # NumPy 1 would go on in float32.


def close(tolerance=2e-5):
    # Bias corrections in float32 cost a few parts in a million.
    return {"rel": tolerance, "abs": 1e-6}


class TestPolicy:
    """The momentum as a function of the step."""

    def test_the_eye_test(self):
        """Momentum comes down as the rate goes up, and is back at the end of the cycle."""
        policy = cyclic_policy(1.0, 5.0, 4, momentum_bounds=(0.5, 0.9))
        assert [round(policy.momentum(step), 3) for step in range(9)] == [0.9, 0.8, 0.7, 0.6, 0.5, 0.6, 0.7, 0.8, 0.9]

    def test_amplitude(self):
        """The amplitude shrinks with the rate's, towards the upper bound, as in PyTorch."""
        policy = cyclic_policy(1.0, 5.0, 2, mode="triangular2", momentum_bounds=(0.5, 0.9))
        assert [round(policy.momentum(step), 3) for step in (2, 6, 10)] == [0.5, 0.7, 0.8]

    def test_none_without(self):
        """A policy whose momentum does not cycle has none."""
        assert cyclic_policy(1.0, 5.0, 4).momentum(3) is None

    @given(st.floats(0, 0.99), st.floats(0, 0.99), st.integers(0, 2**31 - 1), st.sampled_from(["linear", "cosine"]))
    def test_within_the_bounds(self, a, b, step, wave):
        """At any step it is within its bounds."""
        lower, upper = sorted((a, b))
        policy = cyclic_policy(0.1, 0.2, 33.3, wave=wave, momentum_bounds=(lower, upper))
        assert lower - 1e-12 <= policy.momentum(step) <= upper

    def test_scale_above_one(self):
        """A scale that would take the momentum below 0 is an error that names the step."""
        policy = cyclic_policy(0.1, 0.2, 2, scale_fn=lambda cycle: 9.0, momentum_bounds=(0.5, 0.9))
        with pytest.raises(ValueError, match=r"would be -2\.7 at step 2\. Received: scale_fn="):
            policy.momentum(2)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((True, 0.9, 0.8), r"in \[0, 1\).*base_momentum=0\.9, max_momentum=0\.8"),
            ((True, 0.9, 1.0), r"in \[0, 1\)"),
            ((True, -0.1, 0.9), r"in \[0, 1\)"),
            ((True, float("nan"), 0.9), "`base_momentum` must be finite"),
            ((False, 0.8, 0.95), "only used with cycle_momentum=True"),
            (("yes", 0.85, 0.95), "`cycle_momentum` must be one of True, False"),
        ],
    )
    def test_refused(self, arguments, message):
        """Bounds out of range, or that would be ignored, are errors with the numbers."""
        with pytest.raises(ValueError, match=message):
            checked_momentum(*arguments)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_reaches_the_weights(name, run_eagerly):
    """Every optimizer makes of the cycle what its formula makes of rate and momentum, batch by batch."""
    if name == "Lion" and VERSION < (2, 13):
        pytest.skip("Lion came with Keras 2.13")
    build, formula = OPTIMIZERS[name]
    if name == "Nadam" and KERAS_2 and not run_eagerly:
        assert not np.isfinite(weights(train(build()))).any()
        pytest.skip("Keras 2's compiled Nadam diverges by itself, as was just seen")
    model = train(build(), [live_clr()], run_eagerly=run_eagerly)
    rates, momenta = sequence(12)
    assert weights(model) == pytest.approx(formula(GRADIENTS, rates, momenta), **close())
    # The same with a momentum that stands still is something else: the comparison could have failed.
    own = getattr(model.optimizer, "momentum", None) or model.optimizer.beta_1
    assert weights(model) != pytest.approx(formula(GRADIENTS, rates, [own] * 12), rel=1e-2)


class TestRelatives:
    """Optimizers too intricate to compute by hand: between the eager step, which reads the attribute, and ours."""

    @pytest.mark.keras3("Lamb and Muon")
    @pytest.mark.parametrize(("name", "attributes"), [("Lamb", ["beta_1"]), ("Muon", ["momentum", "adam_beta_1"])])
    def test_as_an_attribute_set_in_eager_steps(self, name, attributes, backend):
        """Compiled training does what plain assignments do where nothing is compiled."""
        if name == "Muon" and backend == "tensorflow" and VERSION < (3, 13):
            pytest.skip("Muon of Keras 3.12 fails on TensorFlow")

        class Assign(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                for attribute in attributes:
                    setattr(self.model.optimizer, attribute, float(sequence(12)[1][batch]))
                self.model.optimizer.learning_rate = float(sequence(12)[0][batch])

        optimizer = getattr(keras.optimizers, name)
        assigned = weights(train(optimizer(0.3), [Assign()], run_eagerly=True))
        assert weights(train(optimizer(0.3), [live_clr()])) == pytest.approx(assigned, **close())
        assert weights(train(optimizer(0.3), [CyclicLR(**LR)])) != pytest.approx(assigned, rel=1e-3)


class TestWaysToTrain:
    """The ways in which Keras runs a step."""

    @pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
    @pytest.mark.parametrize("jit_compile", [False, True])
    def test_jit_compile(self, jit_compile, backend):
        """With XLA and without."""
        if backend == "torch" and jit_compile and shutil.which("g++") is None:
            pytest.skip("torch compiles with g++, which is not installed")
        assert weights(train(sgd(), [live_clr()], jit_compile=jit_compile)) == pytest.approx(expected(), **close())

    def test_steps_per_execution(self, backend):
        """A whole group uses the momentum of its first batch, like the rate; a short last group as well."""
        if backend == "torch":
            pytest.skip("Keras refuses steps_per_execution above 1 on torch")
        model = train(sgd(), [live_clr()], steps_per_execution=5)
        rates, momenta = (np.repeat(values[::5], 5)[:12] for values in sequence(12))
        assert weights(model) == pytest.approx(by_hand.sgd(GRADIENTS, rates, momenta), **close())

    def test_loss_scaling(self):
        """Through a LossScaleOptimizer."""
        optimizer = LossScaleOptimizer(sgd(), initial_scale=4.0)
        assert weights(train(optimizer, [live_clr()])) == pytest.approx(expected(), **close())

    @pytest.mark.keras3("gradient accumulation")
    def test_accumulation(self):
        """An update of two batches uses the momentum of its k, like the rate."""
        optimizer = keras.optimizers.SGD(0.3, momentum=0.7, gradient_accumulation_steps=2)
        means = GRADIENTS.reshape(6, 2, 3).mean(1)
        assert weights(train(optimizer, [live_clr()])) == pytest.approx(expected(6, means), **close())

    @pytest.mark.keras3("MultiOptimizer")
    def test_several_optimizers(self):
        """Each optimizer of a MultiOptimizer gets it, under its own name."""
        first, second = sgd(), keras.optimizers.Adam(0.3)
        inputs = keras.Input((3,))
        branches = [
            keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name=name)(inputs)
            for name in ("spelled", "other")
        ]
        model = keras.Model(inputs, keras.layers.Add()(branches))
        named = optimizer_class("OptimizerMap")(first, {"other/.*": second})
        model.compile(optimizer_class("MultiOptimizer")(named), loss=mean_prediction)
        train(None, [live_clr()], model=model)
        assert weights(model) == pytest.approx(expected(), **close())
        other = model.get_layer("other").get_weights()[0][:, 0]
        assert other == pytest.approx(by_hand.adam(GRADIENTS, *sequence(12)), **close())

    def test_double_precision(self, backend):
        """With float64 weights, the momentum has as many digits as the weights."""
        if backend == "jax":
            pytest.skip("JAX computes in float32 unless it is told otherwise at its start")
        set_floatx("float64")
        set_dtype_policy("float64")
        model = spelling_model(3, sgd())
        fit(model, [live_clr()], 1, GRADIENTS.astype("float64"), y=np.zeros((12, 1)), batch_size=1)
        assert weights(model) == pytest.approx(expected(), rel=1e-12)

    def test_train_on_batch(self):
        """In a training loop of one's own that calls the hooks."""
        model = spelling_model(3, sgd())
        callbacks = keras.callbacks.CallbackList([live_clr()], model=model)
        callbacks.on_train_begin()
        callbacks.on_epoch_begin(0)
        for k in range(12):
            callbacks.on_train_batch_begin(k)
            model.train_on_batch(GRADIENTS[k : k + 1], np.zeros((1, 1)))
            callbacks.on_train_batch_end(k)
        callbacks.on_epoch_end(0)
        callbacks.on_train_end()
        assert weights(model) == pytest.approx(expected(), **close())

    def test_replicas(self, backend):
        """With variables that are mirrored over replicas."""
        if backend != "tensorflow":
            pytest.skip("a distribution strategy of TensorFlow")
        import tensorflow as tf

        with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
            model = spelling_model(3, sgd())
        assert weights(train(None, [live_clr()], model=model)) == pytest.approx(expected(), **close())

    def test_several_epochs_and_fits(self):
        """The sequence goes on over epochs and fits, and the step is not compiled anew for the second fit."""
        model, clr = spelling_model(3, sgd()), live_clr()
        train(None, [clr], epochs=2, model=model)
        writer = clr._momentum_writer
        train(None, [clr], model=model)
        gradients = np.concatenate([GRADIENTS] * 3)
        assert weights(model) == pytest.approx(by_hand.sgd(gradients, *sequence(36)), **close())
        assert clr._momentum_writer is writer

    @pytest.mark.parametrize("position", [0, 1])
    @pytest.mark.parametrize("at", [(0, None), (1, None), (0, 2)])
    def test_train_function_replaced_by_others(self, at, position):
        """Another callback that makes the model compile its step anew does not cost a single momentum."""

        class Remake(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                self.epoch = epoch
                if at == (epoch, None):
                    self.model.make_train_function(force=True)

            def on_train_batch_begin(self, batch, logs=None):
                if at == (self.epoch, batch) and position == 1:
                    self.model.make_train_function(force=True)

        callbacks = [live_clr()]
        callbacks.insert(1 - position, Remake())
        model = train(sgd(), callbacks, epochs=2)
        gradients = np.concatenate([GRADIENTS] * 2)
        assert weights(model) == pytest.approx(by_hand.sgd(gradients, *sequence(24)), **close())

    @pytest.mark.parametrize("place", ["fit", "evaluate"])
    def test_others_in_the_loop(self, place):
        """A callback that evaluates or asks for the model in mid-epoch changes nothing."""

        class Look(keras.callbacks.Callback):
            def on_train_batch_begin(self, batch, logs=None):
                self.model.optimizer.iterations  # noqa: B018 - looking is the point
                if place == "evaluate" and batch == 3:
                    self.model.evaluate(GRADIENTS, np.zeros((12, 1)), verbose=0)

        assert weights(train(sgd(), [Look(), live_clr(), Look()])) == pytest.approx(expected(), **close())


class TestGivenBack:
    """The model afterwards, and in between."""

    def test_is_as_it_was(self):
        """After training, attribute, config, variables and training function are the model's own."""
        model = spelling_model(3, sgd())
        train(None, model=model)
        before = model.train_function, [path_of(v) for v in model.optimizer.variables], model.optimizer.get_config()
        train(None, [live_clr()], model=model)
        after = model.train_function, [path_of(v) for v in model.optimizer.variables], model.optimizer.get_config()
        assert after[:2] == before[:2]
        assert {**after[2], "learning_rate": 0} == {**before[2], "learning_rate": 0}
        assert set(vars(model.optimizer)) == set(vars(train(sgd()).optimizer))

    def test_trains_with_its_own_momentum_again(self):
        """A later fit without the callback uses the number that the optimizer was built with."""
        model = train(sgd(), [live_clr()])
        train(None, model=model)
        rates, momenta = sequence(12)
        gradients = np.concatenate([GRADIENTS] * 2)
        own = by_hand.sgd(gradients, [*rates, *[rates[-1]] * 12], [*momenta, *[0.7] * 12])
        assert weights(model) == pytest.approx(own, **close())

    @pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
    @pytest.mark.parametrize("hook", ["on_train_batch_begin", "on_train_batch_end"])
    @pytest.mark.parametrize("position", [0, 1])
    def test_after_an_exception(self, error, hook, position, tmp_path):
        """After a crash in mid-training the model saves, loads and trains on with its own momentum."""

        class Boom(keras.callbacks.Callback):
            def boom(self, batch, logs=None):
                if batch == 5:
                    raise error("boom")

        setattr(Boom, hook, Boom.boom)
        callbacks = [live_clr()]
        callbacks.insert(position, Boom())
        model = spelling_model(3, sgd())
        before = model.optimizer.get_config()
        with pytest.raises(error, match="boom"):
            train(None, callbacks, model=model)
        model.save(tmp_path / "m.keras")
        loaded = keras.models.load_model(tmp_path / "m.keras")
        assert loaded.optimizer.momentum == model.optimizer.momentum == before["momentum"]
        assert len(loaded.optimizer.variables) == len(model.optimizer.variables)
        start = weights(model)
        velocity = model.optimizer.momentums[0].numpy()[:, 0]
        assert weights(loaded) == pytest.approx(start)
        rate = float(model.optimizer.learning_rate)
        train(None, model=model)
        weight = start
        for gradient in GRADIENTS:
            velocity = 0.7 * velocity - rate * gradient
            weight = weight + velocity
        assert weights(model) == pytest.approx(weight, **close())

    def test_after_an_exception_within_the_step(self):
        """A step that raises leaves the optimizer its number."""
        seen = []

        class Broken(keras.Sequential):
            def train_step(self, *args):
                seen.append(self.optimizer.momentum)
                raise RuntimeError("boom")

        model = spelling_model(3, sgd(), model_class=Broken)
        with pytest.raises(RuntimeError, match="boom"):
            train(None, [live_clr()], model=model)
        assert len(seen) == 1
        assert seen[0] is not model.optimizer.momentum
        assert model.optimizer.momentum == 0.7
        assert "stateless_apply" not in vars(model.optimizer)

    def test_the_cycle_goes_on_after_a_crash(self):
        """Fits with the callback after crashes use the right momenta, however many crashes there were."""

        class Boom(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                raise RuntimeError("boom")

        model = spelling_model(3, sgd())
        train(None, model=model)
        before = model.train_function
        for _ in range(3):
            with pytest.raises(RuntimeError, match="boom"):
                train(None, [live_clr(), Boom()], model=model)
        train(None, [live_clr()], model=model)
        assert model.train_function is before
        rates, momenta = sequence(15, first=12)
        gradients = np.concatenate([GRADIENTS, *[GRADIENTS[:1]] * 3, GRADIENTS])
        own = by_hand.sgd(gradients, [*[0.3] * 12, *rates], [*[0.7] * 12, *momenta])
        assert weights(model) == pytest.approx(own, **close())

    def test_checkpoint_in_mid_training(self, tmp_path):
        """A checkpoint in mid-epoch holds the number, loads without a warning, and goes on exactly."""
        path = str(tmp_path / "{batch:02d}.keras")
        checkpoint = keras.callbacks.ModelCheckpoint(path, save_freq=6)
        model = train(sgd(), [live_clr(), checkpoint])
        loaded = keras.models.load_model(tmp_path / "06.keras")
        assert loaded.optimizer.get_config()["momentum"] == 0.7
        assert int(loaded.optimizer.iterations) == 6
        train(None, [live_clr()], gradients=GRADIENTS[6:], model=loaded)
        assert weights(loaded) == pytest.approx(weights(model), **close())


class TestRecords:
    """What is recorded and logged."""

    def test_history_and_logs(self):
        """The record has the momentum of each batch, the epoch's logs the last that was used."""
        clr = live_clr()
        model = spelling_model(3, sgd())
        logged = fit(model, [clr], 2, GRADIENTS, y=np.zeros((12, 1)), batch_size=1).history["momentum"]
        assert clr.history["momentum"] == pytest.approx(sequence(24)[1])
        assert logged == pytest.approx(sequence(24)[1][[11, 23]])
        assert all(type(value) is float for value in logged)

    def test_absent_without(self):
        """Without cycle_momentum there is neither."""
        clr = CyclicLR(**LR)
        model = spelling_model(3, sgd())
        history = fit(model, [clr], 1, GRADIENTS, y=np.zeros((12, 1)), batch_size=1).history
        assert "momentum" not in history
        assert "momentum" not in clr.history

    @ran_out
    def test_a_batch_that_was_not_there(self):
        """With data of unknown length, what is logged is what the last real batch used."""

        def rows():
            for row in GRADIENTS:
                yield row[None].astype("float32"), np.zeros((1, 1), "float32")

        clr = live_clr()
        model = spelling_model(3, sgd())
        logged = fit(model, [clr], data=rows()).history["momentum"]
        assert logged == pytest.approx(sequence(12)[1][[11]])
        assert weights(model) == pytest.approx(expected(), **close())

    def test_message(self, capsys):
        """The line at the start of an epoch names it."""
        train(sgd(), [live_clr(verbose=1)])
        assert "CyclicLR starts at learning rate 0.01, momentum 0.9 (step 0, cycle 1)." in capsys.readouterr().out

    def test_representation(self):
        """A representation shows it, and makes the same again."""
        clr = live_clr()
        assert eval(repr(clr), {"CyclicLR": CyclicLR})._arguments == clr._arguments
        assert "momentum" not in repr(CyclicLR(**LR))


class TestRefused:
    """Optimizers without a momentum that could cycle."""

    @pytest.mark.parametrize(
        ("optimizer", "message"),
        [
            (
                lambda: keras.optimizers.SGD(0.3),
                r"built without momentum\. Compile with `SGD\(\.\.\., momentum=0\.9\)`",
            ),
            (lambda: keras.optimizers.RMSprop(0.3), r"`RMSprop\(\.\.\., momentum=0\.9\)`"),
            (lambda: keras.optimizers.Adagrad(0.3), r"\(Adagrad\) has no momentum: Adam and its relatives"),
            (lambda: keras.optimizers.Adadelta(0.3), r"\(Adadelta\) has no momentum"),
            (lambda: optimizer_class("ScheduleFreeAdamW")(0.3), "has to stay as it is"),
            (lambda: LossScaleOptimizer(keras.optimizers.SGD(0.3)), "built without momentum"),
        ],
    )
    def test_named_before_anything_is_touched(self, optimizer, message):
        """The error says what to do, and neither a weight nor the rate has changed."""
        model = spelling_model(3, optimizer())
        with pytest.raises(ValueError, match=message):
            train(None, [live_clr()], model=model)
        assert weights(model).tolist() == [0, 0, 0]
        assert float(model.optimizer.learning_rate) == pytest.approx(0.3)

    def test_what_the_error_recommends_works(self):
        """SGD compiled as the error says does train."""
        model = train(keras.optimizers.SGD(0.3, momentum=0.9), [live_clr()])
        assert weights(model) == pytest.approx(expected(), **close())

    def test_a_momentum_that_is_no_number(self):
        """A variable in its place is refused by name."""
        optimizer = keras.optimizers.Adam(0.3)
        optimizer.beta_1 = Variable(0.9)
        with pytest.raises(ValueError, match="has a beta_1 that is no number"):
            train(optimizer, [live_clr()])

    def test_spread_over_devices(self, backend):
        """On JAX, a model that keras.distribution spreads over devices is refused; elsewhere there is none."""
        if backend != "jax":
            pytest.skip("how JAX compiles a distributed step")
        model = spelling_model(3, sgd())
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0"]))
        try:
            with pytest.raises(ValueError, match=r"`keras\.distribution` spreads over devices"):
                train(None, [live_clr()], model=model)
        finally:
            keras.distribution.set_distribution(None)
        assert weights(model).tolist() == [0, 0, 0]
