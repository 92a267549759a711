"""What `find_lr` refuses, before anything is touched."""

import keras
import numpy as np
import pytest

import keras_clr

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")
HOLE = np.where(np.arange(64) == 3, np.nan, Y)
NAMES = np.array(["cat", "dog"])[Y]


def classifier(compiled=True, **arguments):
    """Four inputs, two classes."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    if compiled:
        model.compile(**{"optimizer": "adam", "loss": "sparse_categorical_crossentropy"} | arguments)
    return model


def of(*batches):
    """A generator."""
    yield from batches


class NoBatches(keras.utils.PyDataset):
    """Of length 0."""

    def __len__(self):
        return 0

    def __getitem__(self, index):
        raise IndexError(index)


SETTINGS = {
    "rate 0": ({"min_lr": 0.0}, ValueError, "0 < min_lr < max_lr.*min_lr=0.0"),
    "rate below": ({"min_lr": 1.0, "max_lr": 0.1}, ValueError, "0 < min_lr < max_lr.*max_lr=0.1"),
    "rate infinite": ({"max_lr": float("inf")}, ValueError, "`max_lr` must be finite.*max_lr=inf"),
    "rate NaN": ({"min_lr": float("nan")}, ValueError, "`min_lr` must be finite.*min_lr=nan"),
    "rate a string": ({"min_lr": "a"}, TypeError, "`min_lr` must be a number.*min_lr='a'"),
    "rate None": ({"max_lr": None}, TypeError, "`max_lr` must be a number.*max_lr=None"),
    "few steps": ({"num_steps": 19}, ValueError, "`num_steps` must be an integer >= 20.*num_steps=19"),
    "steps a float": ({"num_steps": 40.0}, ValueError, "`num_steps` must be an integer >= 20.*num_steps=40.0"),
    "probes": ({"probe_steps": -1}, ValueError, "`probe_steps` must be an integer >= 0.*probe_steps=-1"),
    "verbose": ({"verbose": 2}, ValueError, "`verbose` must be one of 0, 1.*verbose=2"),
    "epochs": ({"epochs": 3}, ValueError, "`epochs` has no meaning for `find_lr`"),
    "split": ({"validation_split": 0.1}, ValueError, "`validation_split` has no meaning"),
    "batch negative": ({"batch_size": -3}, ValueError, "`batch_size` must be an integer >= 1.*batch_size=-3"),
    "batch 0": ({"batch_size": 0}, ValueError, "`batch_size` must be an integer >= 1.*batch_size=0"),
    "batch a string": ({"batch_size": "a"}, ValueError, "`batch_size` must be an integer >= 1.*batch_size='a'"),
    "epoch of 0": ({"steps_per_epoch": 0}, ValueError, "`steps_per_epoch` must be an integer >= 1"),
    "weights": ({"sample_weight": np.ones(5)}, ValueError, r"same number of samples.*sample_weight of shape \(5,\)"),
}
DATA = {
    "x None": (None, Y, "`x` must be arrays.*generator. Received: x=None"),
    "both None": (None, None, "`x` must be arrays.*Received: x=None"),
    "x a number": (3, Y, "`x` must be arrays.*Received: x=3"),
    "x a string": ("abc", Y, "`x` must be arrays.*Received: x='abc'"),
    "x a list": (X.tolist(), Y, r"`x` must be an array.*a list of float\..*np\.asarray\(x\)"),
    "y a list": (X, Y.tolist(), r"`y` must be an array.*a list of int\..*np\.asarray\(y\)"),
    "empty list": ([], [], "`x` must be an array.*a list of nothing"),
    "a list of samples": (list(X), Y, r"same number of samples.*x\[5\] of shape \(4,\) and 59 more.*is an input"),
    "no samples": (X[:0], Y[:0], "`x` must have at least one sample"),
    "lengths": (X, Y[:50], r"`x` and `y` must have the same number.*x of shape \(64, 4\), y of shape \(50,\)"),
    "inputs' lengths": ({"a": X, "b": X[:5]}, Y, r"same number.*x\['b'\] of shape \(5, 4\)"),
    "x a scalar": (np.float32(3), Y, "same number of samples.*x=3.0"),
    "no labels": (X, None, "`y` must be given with arrays, since the model has a loss.*y=None"),
    "y names": (X, NAMES, "`y` must be numbers.*dtype <U3.*np.unique"),
    "y objects": (X, NAMES.astype(object), "`y` must be numbers.*dtype object"),
    "x names": (np.array([["a"] * 4] * 64), Y, "`x` must be numbers.*dtype <U1"),
    "x objects": (X.astype(object), Y, "`x` must be numbers.*dtype object"),
    "y NaN": (X, HOLE, "`y` must be finite.*NaN or infinity in 1 of 64 samples"),
    "garbage": (of("garbage"), None, r"`x` must give tuples \(inputs, labels\).*without labels"),
    "inputs only": (of((X,)), None, r"`x` must give tuples \(inputs, labels\).*without labels"),
    "a batch with NaN": (of((X, HOLE)), None, "Labels in argument `x` must be finite.*in 1 of 64"),
    "no batch": (of(), None, "`x` must give at least one batch"),
    "no batch by index": (NoBatches(), None, "`x` must give at least one batch"),
    "labels twice": (of((X, Y)), Y, "`y` must be left out: generator brings the labels along.*y=ndarray"),
}
CALLS = {**{name: (X, Y, *SETTINGS[name]) for name in SETTINGS}}
CALLS |= {name: (x, y, {}, ValueError, message) for name, (x, y, message) in DATA.items()}


@pytest.mark.parametrize("name", CALLS)
def test_bad_input_is_refused_before_anything_is_touched(name, capsys):
    """The error names the argument; model, optimizer and random state are as they were, and no bar was drawn."""
    x, y, arguments, error, message = CALLS[name]
    model = classifier()
    model.train_on_batch(X, Y)
    variables = [*model.variables, *model.optimizer.variables]
    before = [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]
    random = np.random.get_state()[1].copy()
    with pytest.raises(error, match=f"(?s){message}"):
        keras_clr.find_lr(model, x, y, **arguments)
    assert all(np.array_equal(b, keras.ops.convert_to_numpy(v)) for b, v in zip(before, variables, strict=True))
    assert len(model.optimizer.variables) + len(model.variables) == len(before)
    assert np.array_equal(random, np.random.get_state()[1])
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("model", [classifier(compiled=False), None], ids=["uncompiled", "None"])
def test_what_is_no_compiled_model_is_refused(model):
    """There is no loss to measure."""
    with pytest.raises(ValueError, match=r"must be compiled: call `model\.compile.*Received: model of type"):
        keras_clr.find_lr(model, X, Y)


def test_a_model_that_is_not_built_stays_so():
    """Bad data do not build it."""
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile("adam", "mse")
    with pytest.raises(ValueError, match="same number of samples"):
        keras_clr.find_lr(model, X, Y[:3])
    assert not model.built


class Autoencoder(keras.Model):
    """Makes its own loss, so that it needs no labels."""

    def __init__(self):
        super().__init__()
        self.layer = keras.layers.Dense(4)

    def call(self, x):
        """Adds the loss."""
        y = self.layer(x)
        self.add_loss(keras.ops.mean(keras.ops.square(x - y)))
        return y


@pytest.mark.parametrize("batches", [False, True])
def test_a_model_without_a_compiled_loss_needs_no_labels(batches):
    """The twin of missing labels."""
    model = Autoencoder()
    model.compile("sgd")
    x = (batch for batch in [(X,)] * 300) if batches else X
    assert len(keras_clr.find_lr(model, x, verbose=0, num_steps=20).rates) >= 20
