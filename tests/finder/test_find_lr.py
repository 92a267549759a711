"""`find_lr` on real models: it measures, and the model never knows."""

from functools import partial

import keras
import numpy as np
import pytest
from versions import optimizer_class

import keras_clr
from keras_clr.finder.errors import FlatCurveError, LossNotFiniteError, LRFinderError, TooFewPointsError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(320, 6)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype("int32")
QUICK = {"verbose": 0, "num_steps": 40, "probe_steps": 4, "batch_size": 32}


def classifier(optimizer="adam", built=True, **arguments):
    """A network with everything that has state: BatchNorm, Dropout, optimizer slots, metrics."""
    layers = [
        keras.layers.Dense(8, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(2),
    ]
    model = keras.Sequential([keras.Input((6,)), *layers] if built else layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, metrics=["accuracy"], **arguments)
    return model


def everything(model):
    """All variables of model and optimizer as host arrays."""
    variables = [*model.variables, *model.optimizer.variables]
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def losses_afterwards(model, **arguments):
    """Losses of ten further epochs of one batch order, the random state deciding over shuffle and dropout."""
    return model.fit(X, Y, batch_size=32, epochs=10, verbose=0, **arguments).history["loss"]


def schedule():
    """A schedule as users have it."""
    return keras.optimizers.schedules.CosineDecay(0.1, 100)


def same(a, b):
    """Whether two lists of arrays agree to the last bit."""
    return len(a) == len(b) and all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("case", ["built", "unbuilt", "trained", "schedule"])
def test_the_model_never_knows(case):
    """All variables and the next losses are those of a run without the finder, to the last bit."""

    def run(with_finder):
        keras.utils.set_random_seed(3)
        optimizer = keras.optimizers.SGD(schedule(), momentum=0.9) if case == "schedule" else keras.optimizers.Adam()
        model = classifier(optimizer, built=case != "unbuilt")
        if case == "trained":
            model.fit(X, Y, batch_size=32, epochs=2, verbose=0)
        if with_finder:
            keras_clr.find_lr(model, X, Y, **QUICK)
        return losses_afterwards(model), everything(model)

    (losses, variables), (expected_losses, expected_variables) = run(True), run(False)
    assert losses == expected_losses
    assert same(variables, expected_variables)


class Boom(keras.callbacks.Callback):
    """Fails at the n-th batch."""

    def __init__(self, error, batch=7):
        super().__init__()
        self.error, self.countdown = error, batch

    def on_train_batch_end(self, batch, logs=None):
        """Counts down."""
        self.countdown -= 1
        if self.countdown == 0:
            raise self.error


def bad_data():
    """A generator whose data breaks in the middle."""
    for start in range(0, 160, 32):
        yield X[start : start + 32], Y[start : start + 32]
    raise OSError("the disk is gone")


@pytest.mark.parametrize("fault", ["interrupt", "callback", "data"])
def test_faults_give_everything_back(fault):
    """Ctrl-C, a failing callback and broken data: the state is back, and so are history and training function."""
    keras.utils.set_random_seed(3)
    model = classifier()
    model.fit(X, Y, batch_size=32, verbose=0)
    before, history, function = everything(model), model.history, model.train_function
    errors = {"interrupt": KeyboardInterrupt(), "callback": RuntimeError("mine"), "data": Exception()}
    if fault == "data":
        find = partial(keras_clr.find_lr, model, bad_data(), verbose=0, num_steps=40)
    else:
        find = partial(keras_clr.find_lr, model, X, Y, callbacks=[Boom(errors[fault])], **QUICK)
    with pytest.raises(type(errors[fault])):  # On TensorFlow, an error in the data arrives as one of its own.
        find()
    assert same(everything(model), before)
    assert model.history is history
    assert model.train_function is function
    assert model.stop_training is False


def test_by_default_it_leaves_it_at_the_curve():
    """No probes; with `probe_steps`, short trainings around what the curve says."""
    keras.utils.set_random_seed(3)
    model = classifier()
    alone, probed = keras_clr.find_lr(model, X, Y, verbose=0), keras_clr.find_lr(model, X, Y, verbose=0, probe_steps=4)
    assert alone.probes == ()
    assert alone.rates[0] == pytest.approx(1e-5)
    assert [len(probe.losses) for probe in probed.probes] == [4, 4, 4]
    assert probed.probes[1].rate == probed.suggest("descent")


def two_parts():
    """Matrices with much momentum, vectors with none; the parts are chosen when the optimizer is built."""
    much, none = keras.optimizers.SGD(momentum=0.95), keras.optimizers.SGD()
    return optimizer_class("MultiOptimizer")(lambda variable: much if len(variable.shape) > 1 else none)


@pytest.mark.parametrize(
    ("optimizer", "momentum"),
    [
        (lambda: keras.optimizers.SGD(), 0.0),
        (lambda: keras.optimizers.SGD(momentum=0.8), 0.8),
        (lambda: keras.optimizers.Adam(), 0.9),
        (lambda: keras.optimizers.RMSprop(), 0.0),
        (lambda: keras.optimizers.Adadelta(), 0.0),
        (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW(beta_1=0.7)), 0.7),
        (lambda: two_parts(), 0.95),
    ],
)
def test_the_curve_knows_the_momentum(optimizer, momentum):
    """That of the optimizer inside a wrapper, the largest of several."""
    curve = keras_clr.find_lr(classifier(optimizer()), X, Y, num_steps=20, verbose=0)
    assert curve.momentum == momentum


def own_loss(y_true, y_pred):
    """A loss whose labels may be anything, as far as is known."""
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


def finite_only(y_true, y_pred):
    """The squared error; leaves out the labels that are NaN."""
    known = keras.ops.isfinite(y_true)
    return keras.ops.where(known, keras.ops.square(keras.ops.where(known, y_true, 0.0) - y_pred), 0.0)


def nan_when_far(y_true, y_pred):
    """The same, and no number once the predictions are twice as large as labels are."""
    return keras.ops.where(keras.ops.mean(keras.ops.square(y_pred)) < 2, finite_only(y_true, y_pred), np.nan)


HOLE = np.where(np.arange(X.size).reshape(X.shape) == 600, np.nan, X)
TARGETS = np.where(np.arange(len(X))[:, None] % 4 == 0, np.nan, X[:, :1])


@pytest.mark.parametrize(
    ("x", "y", "loss", "blame"),
    [
        (X, TARGETS, own_loss, "NaN or infinity in 80 of 320 samples of `y`"),
        (HOLE, X[:, :1], "mse", "NaN or infinity in 1 of 320 samples of `x`"),
        (HOLE, TARGETS, own_loss, "in 1 of 320 samples of `x` and in 80 of 320 samples of `y`"),
        (X, X[:, :1], "weights", "Inputs and labels are finite, so it begins in the model"),
        ("batches", TARGETS, own_loss, "NaN in the inputs or labels is to blame, or the model"),
    ],
    ids=["labels", "inputs", "both", "weights", "batches"],
)
@pytest.mark.parametrize("steps", [20, 60])
def test_a_loss_that_is_not_a_number_at_the_lowest_rate_is_not_blamed_on_the_rate(x, y, loss, blame, steps):
    """It says so, counts what is wrong in the data, and gives everything back."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("adam", "mse" if loss == "weights" else loss)
    model.fit(X, X[:, :1], verbose=0)
    if loss == "weights":
        model.layers[0].bias.assign([np.nan])
    before = everything(model)
    data = ((X[i : i + 32], y[i : i + 32]) for _ in range(99) for i in range(0, 320, 32)) if isinstance(x, str) else x
    with pytest.raises(LossNotFiniteError, match=f"lowest rate, .*already.*{blame}.*diagnose"):
        keras_clr.find_lr(model, data, None if isinstance(x, str) else y, verbose=0, num_steps=steps)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(everything(model), before, strict=True))


def test_labels_that_the_loss_leaves_out_may_be_nan():
    """The twin: missing targets, and a loss that knows of them."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", finite_only)
    assert len(keras_clr.find_lr(model, X, TARGETS, **QUICK).rates) >= 20


@pytest.mark.parametrize("y", [X[:, :1], TARGETS], ids=["labels", "missing"])
def test_a_loss_that_the_rate_makes_nan_gives_a_curve(y):
    """The twin: the high rate is to blame, whether or not there are labels that the loss leaves out."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    model.compile("sgd", nan_when_far)
    curve = keras_clr.find_lr(model, X, y, **QUICK)
    assert curve.end == "the loss became NaN or infinite"
    assert len(curve.rates) >= 20


def test_the_losses_are_those_of_single_batches():
    """With a rate of nearly 0, the curve is what `evaluate` says of each batch, the short last one included."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss="mse")
    x, y = X[:100], X[:100, :1]
    expected = [model.evaluate(x[i : i + 32], y[i : i + 32], verbose=0) for i in range(0, 100, 32)]
    curve = keras_clr.find_lr(
        model, x, y, min_lr=1e-12, max_lr=1e-11, num_steps=20, probe_steps=0, verbose=0, batch_size=32, shuffle=False
    )
    assert np.allclose(curve.losses[:4], expected, rtol=1e-5)
    assert np.allclose(curve.losses[4:8], expected, rtol=1e-5)


def test_gradient_accumulation_sweeps_in_updates():
    """One rate for each update; its loss is the mean of its batches."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(gradient_accumulation_steps=2), loss="mse")
    x, y = X[:128], X[:128, :1]
    batches = [model.evaluate(x[i : i + 32], y[i : i + 32], verbose=0) for i in range(0, 128, 32)]
    curve = keras_clr.find_lr(
        model, x, y, min_lr=1e-12, max_lr=1e-11, num_steps=20, probe_steps=0, verbose=0, batch_size=32, shuffle=False
    )
    assert np.allclose(curve.losses[:2], [np.mean(batches[:2]), np.mean(batches[2:])], rtol=1e-5)
    assert curve.updates_per_epoch == 2


def test_steps_per_execution_is_one_during_the_sweep_and_given_back(backend):
    """Every batch has its rate and its loss; the setting and the compiled function come back."""
    if backend == "torch":
        pytest.skip("Keras refuses steps_per_execution other than 1 on torch")
    model = classifier(steps_per_execution=4)
    model.fit(X, Y, batch_size=32, verbose=0)
    function = model.train_function
    curve = keras_clr.find_lr(model, X, Y, **QUICK)
    assert np.ptp(np.diff(np.log(curve.rates))) < 1e-9
    assert model.steps_per_execution == 4
    assert model.train_function is function


class Batches(keras.utils.PyDataset):
    """The data as a PyDataset."""

    def __len__(self):
        return 10

    def __getitem__(self, index):
        return X[index * 32 : index * 32 + 32], Y[index * 32 : index * 32 + 32]


def endless():
    """The data as a generator without end."""
    while True:
        for i in range(10):
            yield Batches()[i]


@pytest.mark.parametrize("make", [Batches, endless, lambda: "tf.data", lambda: "torch"])
def test_any_data_that_fit_takes(make):
    """PyDataset, generator, tf.data and a torch DataLoader, all repeated as long as it takes."""
    data = make()
    if data == "tf.data":
        tf = pytest.importorskip("tensorflow", reason="tf.data comes with TensorFlow")
        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(32)
    elif data == "torch":
        torch = pytest.importorskip("torch", reason="DataLoader comes with torch")
        data = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y)), 32)
    more = {"steps_per_epoch": 10} if make is endless else {}
    curve = keras_clr.find_lr(classifier(built=False), data, verbose=0, num_steps=40, probe_steps=4, **more)
    assert len(curve.rates) >= 20
    assert curve.updates_per_epoch == 10


def test_dicts_and_several_inputs_and_weights():
    """Dict inputs, sample and class weights go through as in `fit`."""
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], keras.layers.Dense(2)(keras.layers.concatenate([a, b])))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    inputs = {"a": X[:, :3], "b": X[:, 3:]}
    plain, sample, by_class = (
        keras_clr.find_lr(model, inputs, Y, shuffle=False, **weights, **QUICK)
        for weights in ({}, {"sample_weight": np.full(len(Y), 2.0)}, {"class_weight": {0: 2.0, 1: 2.0}})
    )
    assert sample.losses[0] == pytest.approx(2 * plain.losses[0], rel=1e-5)
    assert by_class.losses[0] == pytest.approx(2 * plain.losses[0], rel=1e-5)


def test_it_starts_lower_when_it_diverges_at_once():
    """Inputs in the thousands diverge at every rate of the default range: the range moves down by itself."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    curve = keras_clr.find_lr(model, 1e6 * X, X[:, 0], **QUICK)
    assert curve.rates[0] < 1e-9
    assert len(curve.rates) >= 20


def test_a_model_that_cannot_learn_is_flat():
    """Inputs that are all 0 and no bias: the loss does not react, and the error says so."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, use_bias=False)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    curve = keras_clr.find_lr(model, np.zeros_like(X), Y, **QUICK)
    with pytest.raises(FlatCurveError, match="never fell"):
        curve.suggest()


def test_one_progress_bar_and_nothing_else(capsys):
    """verbose=1 shows one bar on one line, verbose=0 nothing."""
    keras_clr.find_lr(classifier(), X, Y, **QUICK)
    assert capsys.readouterr().out == ""
    keras_clr.find_lr(classifier(), X, Y, **{**QUICK, "verbose": 1})
    shown = capsys.readouterr().out
    assert "40/40" in shown
    assert "loss" not in shown


def test_errors_are_of_one_family():
    """One `except LRFinderError` catches all that the finder raises about a curve."""
    assert issubclass(TooFewPointsError, LRFinderError)
    assert issubclass(FlatCurveError, LRFinderError)
    assert issubclass(LossNotFiniteError, LRFinderError)
