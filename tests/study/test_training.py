"""One run: what differs, what is recorded. In this process."""

import keras
import numpy as np
import pytest
from study import builders

from keras_clr.study.data import OrderedBatches
from keras_clr.study.plan import plan_run
from keras_clr.study.run import Run


@pytest.fixture(scope="module")
def shuffled():
    """Two runs that differ by their order, and the first once more."""
    return [builders.train(index, epochs=2) for index in (0, 1, 0)]


def test_the_same_run_gives_the_same_result_to_the_bit(shuffled):
    """Also after another run."""
    assert shuffled[0] == shuffled[2]


def test_with_shuffle_only_the_order_differs(shuffled):
    """The same initial weights and seeds of dropout, other curves."""
    assert shuffled[0]["initial_state"] == shuffled[1]["initial_state"]
    assert shuffled[0]["curves"] != shuffled[1]["curves"]


def test_with_shuffle_the_dropout_masks_are_the_same():
    """Where all samples are alike, the order changes nothing, and the loss tells of the masks alone."""
    x, y = np.ones((8, 4), "float32"), np.arange(8) % 2
    curves = [
        builders.train(i, x=x, y=y, batch_size=8, epochs=1, build_model=_build_mean)["curves"]["loss"] for i in (0, 1)
    ]
    others = [
        builders.train(i, "init", x=x, y=y, batch_size=8, epochs=1, build_model=_build_mean)["curves"]["loss"]
        for i in (0, 1)
    ]
    assert curves[0] == curves[1]
    assert others[0] != others[1]


def _build_mean():
    """Its loss is the mean of what dropout left of ones; there are no weights to draw."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(1, "linear", False, "ones")]
    )
    model.compile(optimizer="sgd", loss=lambda y, answer: answer)
    return model


def test_with_init_the_order_is_the_same():
    """Other weights; the batches come in the order of run 0."""
    one, two = (builders.train(index, "init", epochs=1) for index in (0, 1))
    assert one["initial_state"] != two["initial_state"]
    assert plan_run(0, "init", 0).order_seed == plan_run(1, "init", 0).order_seed


def test_training_follows_the_order_of_the_seed_on_every_backend():
    """The weight of a linear model is that of the same updates done by hand, epoch after epoch."""
    x = np.arange(1, 8, dtype="float32")[:, None] / 7
    y = (x[:, 0] ** 2 > 0.3).astype("float32")

    def build():
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "linear", False, "zeros")])
        model.compile(optimizer=keras.optimizers.SGD(0.3), loss="mse")
        return model

    seen = []
    watch = keras.callbacks.LambdaCallback(on_train_end=lambda _: seen.append(watch.model.get_weights()[0].item()))
    plan = plan_run(1, "shuffle", 0)
    made, arrays = builders.job(build, x=x, y=y, callbacks=[watch], batch_size=3, epochs=3)
    made.train(arrays, plan)
    weight = 0.0
    for epoch in range(3):
        order = np.random.default_rng((plan.order_seed, epoch)).permutation(7)
        for rows in (order[:3], order[3:6], order[6:]):
            inputs, labels = x[rows, 0].astype("float64"), y[rows]
            weight -= 0.3 * np.mean(2 * (weight * inputs - labels) * inputs)
    assert seen == [pytest.approx(weight, rel=1e-4)]


def test_the_order_of_an_epoch_is_a_permutation_and_another_one_each_epoch():
    """Every sample once; without a seed as they came."""
    x = np.arange(10)
    batches = OrderedBatches((x, x), 4, order_seed=3)
    first = np.concatenate([batches[i][0] for i in range(len(batches))])
    batches.begin_epoch(1)
    second = np.concatenate([batches[i][0] for i in range(len(batches))])
    assert sorted(first) == sorted(second) == list(range(10))
    assert list(first) != list(second)
    assert [len(batches[i][0]) for i in range(3)] == [4, 4, 2]
    assert list(OrderedBatches((x, x), 10, None)[0][0]) == list(range(10))


def test_a_nan_is_reported_as_such():
    """And the detector calls it diverged."""
    run = Run.from_outcome(plan_run(0, "shuffle", 0), builders.train(0, build_model=builders.build_unstable, epochs=2))
    assert (run.status, run.state, run.stuck_epoch) == ("nan", "diverged", 0)
    assert run.has_result


def test_a_frozen_run_has_its_cause():
    """A healthy twin has none."""
    plan = plan_run(0, "shuffle", 0)
    run = Run.from_outcome(plan, builders.train(0, build_model=builders.build_dead, epochs=4))
    assert run.state == "frozen"
    assert run.cause is not None
    assert len(run.curves["loss"]) == 4
    healthy = Run.from_outcome(plan, builders.train(0, epochs=4))
    assert (healthy.is_stuck, healthy.status) == (False, "finished")


def test_a_frozen_run_can_be_stopped():
    """After the epoch at whose end it was called so."""
    outcome = builders.train(0, build_model=builders.build_dead, epochs=9, detector={"on_stuck": "stop"})
    assert len(outcome["curves"]["loss"]) == outcome["stuck_epoch"] + 1 < 9


def test_an_exception_in_the_middle_keeps_the_epochs_before():
    """The error has the whole traceback, and its message last."""

    class Failing(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise RuntimeError("the disk is full")

    run = Run.from_outcome(plan_run(0, "shuffle", 0), builders.train(0, epochs=4, callbacks=[Failing()]))
    assert run.status == "error"
    assert run.error.strip().splitlines()[-1] == "RuntimeError: the disk is full"
    assert len(run.curves["loss"]) == 2
    assert not run.has_result


def test_callbacks_by_a_function_are_fresh_in_each_run():
    """Two runs in one process: the second one's cycle begins anew."""
    one, two = (builders.train(0, callbacks=builders.cycling, epochs=2) for _ in range(2))
    assert one["curves"]["learning_rate"] == two["curves"]["learning_rate"]


def test_data_in_lists_and_dicts_weights_and_a_split():
    """As for `fit`; the last samples validate, and each sample keeps its weight."""
    x, y = builders.samples()

    def build():
        inputs = {"left": keras.Input((2,), name="left"), "right": keras.Input((2,), name="right")}
        both = keras.layers.Concatenate()([inputs["left"], inputs["right"]])
        model = keras.Model(inputs, keras.layers.Dense(2)(both))
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    split = {"left": x[:, :2], "right": x[:, 2:]}
    arguments = {"build_model": build, "y": y, "epochs": 1, "validation_split": 0.25}
    plain = builders.train(0, x=split, **arguments)
    assert "error" not in plain
    assert set(plain["curves"]) == {"loss", "val_loss"}
    # Weights of 2 double the loss.
    doubled = builders.train(0, x=split, sample_weight=np.full(len(y), 2.0), **arguments)
    assert doubled["curves"]["loss"][0] == pytest.approx(2 * plain["curves"]["loss"][0], rel=0.2)
    assert doubled["curves"]["loss"] != plain["curves"]["loss"]


def test_data_by_a_function_of_the_seed():
    """It is called with the seed of the order of the run; what it returns goes to `fit`."""
    seeds = []

    def make(seed):
        seeds.append(seed)
        return OrderedBatches(builders.samples(), 16, seed)

    outcome = builders.train(2, x=make, epochs=1)
    assert "error" not in outcome
    assert set(seeds) == {plan_run(2, "shuffle", 0).order_seed}


def test_a_model_without_an_input_is_built_on_a_sample():
    """So that its weights come from the seed of the run."""

    def build():
        model = keras.Sequential([keras.layers.Dense(2)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    one, two = (builders.train(0, build_model=build, epochs=1) for _ in range(2))
    assert one["initial_state"] == two["initial_state"] != ""
