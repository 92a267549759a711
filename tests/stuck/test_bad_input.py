"""What `diagnose` refuses; the errors name its own arguments."""

import re

import keras
import numpy as np
import pytest

from keras_clr.stuck.diagnose import diagnose

X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = (X[:, 0] > 0).astype("int32")
NAMES = [["cat", "dog"][label] for label in Y]


def classifier(compiled=True):
    """Four inputs, two classes."""
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation="softmax")])
    if compiled:
        model.compile("adam", "sparse_categorical_crossentropy")
    return model


def of(*batches):
    """A generator."""
    yield from batches


DATA = {
    "both None": (None, None, "`x` must be arrays.*Received: x=None"),
    "x None": (None, Y, "`x` must be arrays.*Received: x=None"),
    "x a number": (3, None, "`x` must be arrays.*Received: x=3"),
    "x a string": ("abc", Y, "`x` must be arrays.*Received: x='abc'"),
    "no labels": (X, None, "`y` must be given with arrays.*y=None"),
    "labels twice": (of((X, Y)), Y, "`y` must be left out: generator brings the labels along"),
    "lengths": (X, Y[:5], r"`x` and `y` must have the same number.*x of shape \(64, 4\), y of shape \(5,\)"),
    "inputs' lengths": ({"a": X, "b": X[:5]}, Y, r"`x` and `y` must have.*x\['b'\] of shape \(5, 4\)"),
    "x a scalar": (np.float32(3), Y, "`x` and `y` must have the same number of samples.*x=3.0"),
    "x ragged": ([[1, 2], [3]] * 32, Y, "`x` must be an array, or a list or dict of arrays.*rows differ"),
    "garbage": (of("garbage"), None, r"`x` must give tuples \(inputs, labels\).*the first a str"),
    "batches None": (of(None), None, r"`x` must give tuples \(inputs, labels\).*the first a NoneType"),
    "inputs only": (of((X,)), None, r"`x` must give tuples \(inputs, labels\).*without labels"),
    "pairs of strings": (of(("abc", "def")), None, r"\(inputs, labels\) of arrays.*a batch of \(str, str\)"),
    "pairs of None": (of((None, None)), None, r"\(inputs, labels\) of arrays.*\(NoneType, NoneType\)"),
    "batches' lengths": (of((X, Y[:5])), None, "must have the same number of samples"),
    "no batch": (of(), None, "`x` must give at least one batch"),
}


@pytest.mark.parametrize("name", DATA)
def test_what_diagnose_cannot_look_at_is_named(name):
    """Not the detector's `probe_data`, which nobody has passed."""
    x, y, message = DATA[name]
    with pytest.raises(ValueError, match=f"(?s){message}") as error:
        diagnose(classifier(), x, y)
    assert "probe_data" not in str(error.value)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X, NAMES, "`y` must be numbers.*dtype <U3.*np.unique"),
        (X, [None] * 64, "`y` must be numbers.*dtype object"),
        ([["a"] * 4] * 64, Y, "`x` must be numbers.*dtype <U1"),
    ],
    ids=["names", "None", "inputs"],
)
def test_text_is_a_finding_in_the_same_words_on_every_backend(x, y, message):
    """That `fit` will stop is what `diagnose` is there to say."""
    (finding,) = diagnose(classifier(), x, y).findings
    assert finding.code == "fit-fails"
    assert re.search(message, finding.sentence)


def test_labels_of_another_number_of_outputs_are_named():
    """A note beside the finding that `fit` will stop."""
    diagnosis = diagnose(classifier(), X, [Y, Y])
    notes = " ".join(diagnosis.cannot_know)
    assert [finding.code for finding in diagnosis.findings] == ["fit-fails"]
    assert "`x` and `y` must have labels for each output. Received: labels for 2 outputs, the model has 1" in notes
    assert "probe_data" not in notes


def test_what_is_no_compiled_model_is_refused():
    """There is no loss to look at."""
    with pytest.raises(ValueError, match=r"must be compiled.*Received: model of type Sequential"):
        diagnose(classifier(compiled=False), X, Y)


def test_strings_for_a_layer_that_takes_them_are_no_bad_input(backend):
    """The twin of text in `x`: TensorFlow makes tensors of strings in an array of objects."""
    if backend != "tensorflow":
        pytest.skip("only TensorFlow has tensors of strings")
    words = np.array(["cat", "dog"], dtype=object)[Y]
    look_up = keras.layers.StringLookup(vocabulary=["cat", "dog"], output_mode="one_hot")
    inputs = keras.Input((), dtype="string")
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(look_up(inputs)))
    model.compile("adam", "sparse_categorical_crossentropy")
    assert "fit-fails" not in [finding.code for finding in diagnose(model, words, Y).findings]
