"""What is wrong with inputs and labels themselves: each with its healthy twin, and numbers against simulation."""

import keras
import numpy as np
import pytest

from keras_clr._keras.compiled import HeadLoss
from keras_clr._keras.graph import raw_inputs
from keras_clr._keras.heads import Head
from keras_clr.stuck.checks import data
from keras_clr.stuck.checks.data import check_finite, check_inputs, check_order, count_non_finite
from keras_clr.stuck.checks.labels import check_labels
from keras_clr.stuck.diagnose import diagnose
from keras_clr.stuck.probe import PROBE_SIZE, Probe

layers = keras.layers
RNG = np.random.default_rng(0)
TWO, FIVE = RNG.permutation(np.arange(80) % 2), RNG.permutation(np.arange(80) % 5)
ONE_HOT = np.eye(5)[FIVE]
NORMAL = RNG.normal(size=(80, 3))


def head(kind, units, *activations, name=None):
    """One vector of units with a loss of this kind."""
    return Head("output", units, 1, activations, True, loss=HeadLoss(name or kind, kind))


BINARY, SPARSE, ROWS = head("binary", 1, "sigmoid"), head("sparse", 5, "softmax"), head("categorical", 5, "softmax")
LINEAR, HINGE, COUNTS = head("regression", 1), head("hinge", 1, "tanh"), head("poisson", 1, "exponential")
SECOND = np.roll(ONE_HOT, 1, axis=1) * TWO[:, None]
NAN = np.where(np.arange(80) == 7, np.nan, TWO)

LABELS = {
    "0 to 4 under a binary loss": (BINARY, FIVE, TWO, "labels-outside-range", "certificate"),
    "-1 and 1 under a binary loss": (BINARY, 2 * TWO - 1, TWO == 1, "labels-outside-range", "certificate"),
    "2 and 4 under a binary loss": (BINARY, 2 * TWO + 2, TWO, "labels-outside-range", "certificate"),
    "0 and 255": (BINARY, 255 * TWO, TWO, "labels-outside-range", "certificate"),
    "0 and 1/255": (BINARY, TWO / 255, 0.05 + 0.9 * TWO, "labels-outside-range", "forecast"),
    "rows of 1/255": (ROWS, ONE_HOT / 255, ONE_HOT, "labels-outside-range", "forecast"),
    "negative rows": (ROWS, ONE_HOT - 0.5, 0.9 * ONE_HOT + 0.02, "labels-outside-range", "certificate"),
    "a column lost": (ROWS, np.eye(6)[np.append(FIVE[1:], 5)][:, :5], ONE_HOT, "labels-outside-range", "hint"),
    "several in a row": (ROWS, np.maximum(ONE_HOT, SECOND), ONE_HOT, "labels-outside-range", "hint"),
    "negative class numbers": (SPARSE, FIVE - 1, FIVE, "labels-outside-range", "certificate"),
    "0 to 4 under a hinge": (HINGE, FIVE, 2 * TWO - 1, "labels-outside-range", "forecast"),
    "negative counts": (COUNTS, FIVE - 1, FIVE, "labels-outside-range", "certificate"),
    "fractions of classes": (SPARSE, FIVE / 5, FIVE.astype("float32"), "labels-not-whole-numbers", "certificate"),
    "one class": (BINARY, np.ones(80), TWO, "constant-labels", "certificate"),
    "one row": (ROWS, np.eye(5)[np.full(80, 2)], ONE_HOT, "constant-labels", "certificate"),
    "one value": (LINEAR, np.full(80, 0.3), NORMAL[:, 0], "constant-labels", "forecast"),
    "a NaN": (BINARY, NAN, TWO, "non-finite-labels", "certificate"),
    "nine of ten": (BINARY, np.arange(80) < 8, np.arange(80) < 20, "class-imbalance", "hint"),
    "thousands": (LINEAR, 5000 + 1000 * NORMAL[:, 0], NORMAL[:, 0], "target-scale", "hint"),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_that_do_not_fit_are_named_and_their_twins_are_not(name):
    """The sick labels are found, with nothing besides; of the healthy twin there is nothing to say."""
    seen, sick, healthy, code, confidence = LABELS[name]
    assert [(f.code, f.confidence) for f in check_labels(sick, seen)] == [(code, confidence)]
    assert check_labels(healthy, seen) == []


def test_labels_of_an_own_loss_are_left_alone():
    """A loss that is not known may want any labels; of a NaN it is told as a hint."""
    own = head("other", 1)
    assert check_labels(np.zeros(80), own) == []
    assert check_labels(FIVE - 10, own) == []
    assert [f.confidence for f in check_labels(NAN, own)] == ["hint"]
    assert check_labels(np.array(["a", "b"]), BINARY) == []


def test_a_class_that_the_loss_ignores_is_not_outside():
    """Void pixels of 255 or -1 are left out, as the loss leaves them out."""
    for void in (255, -1):
        seen = Head("output", 5, 1, ("softmax",), True, loss=HeadLoss("sparse", "sparse", ignore_class=void))
        assert check_labels(np.where(TWO == 1, void, FIVE), seen) == []
        assert check_labels(np.where(TWO == 1, -2, FIVE), seen) != []


def codes(*arguments):
    return {finding.code: finding.confidence for finding in check_inputs(*arguments)}


HOLE = np.where(np.arange(240).reshape(80, 3) == 11, np.inf, NORMAL)
PIXELS = RNG.integers(0, 256, (80, 4, 4, 3)).astype("float32")
INPUTS = {
    "the same sample": (np.ones((80, 3)), NORMAL, "constant-inputs", "certificate"),
    "two of three features": (NORMAL * [1, 0, 0], NORMAL * [1, 1, 0], "constant-inputs", "hint"),
    "pixels": (PIXELS, PIXELS / 255, "input-scale", "hint"),
    "one large feature": (NORMAL * [1, 1, 1e4], NORMAL, "input-scale", "hint"),
    "far from 0": (NORMAL + 50, NORMAL + 2, "input-scale", "hint"),
    "divided by 255 twice": (PIXELS / 255**2, PIXELS / 127.5 - 1, "input-scale", "hint"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_that_do_not_fit_are_named_and_their_twins_are_not(name):
    """Found with its confidence, in the place where it is; of the healthy twin there is nothing to say."""
    sick, healthy, code, confidence = INPUTS[name]
    assert codes({"input 0": sick}, None, {"input 0"}) == {code: confidence}
    assert codes({"input 0": healthy}, None, {"input 0"}) == {}


def test_the_scale_of_what_is_looked_up_or_rescaled_does_not_matter():
    """Ids, one-hot rows and inputs that do not reach a kernel as they are: nothing to say."""
    ids = RNG.integers(0, 9000, (80, 6))
    assert codes({"input 0": ids}) == {}
    assert codes({"input 0": ids}, None, {}) == {}
    assert codes({"input 0": PIXELS}, None, {}) == {}
    assert codes({"input 0": np.eye(1000)[RNG.integers(0, 1000, 80)][:, :100]}, None, {"input 0"}) in (
        {},
        {"constant-inputs": "hint"},
    )


def test_all_samples_are_searched_for_what_is_no_number():
    """Also those that the probe does not keep; of several inputs, the one that has it is named."""
    y = np.arange(8 * PROBE_SIZE) % 2
    x = {"good": np.zeros((len(y), 2)), "bad": np.ones((len(y), 3)), "whole": np.ones((len(y), 1), int)}
    assert check_finite(Probe(x, y).non_finite) == []
    outside = np.setdiff1d(np.arange(len(y)), Probe(x, y)._kept)[:3]
    x["bad"][outside, 1] = [np.nan, np.inf, -np.inf]
    (finding,) = check_finite(Probe(x, y).non_finite)
    assert (finding.code, finding.confidence) == ("non-finite-inputs", "certificate")
    assert finding.numbers == {"input": "bad", "num_bad": 3, "num_samples": len(y)}
    assert 'x["bad"]' in finding.fix


def test_what_is_too_large_is_searched_in_part(monkeypatch):
    """Every k-th sample: as many as were looked at are named."""
    x = np.zeros((1000, 5), "float32")
    x[::10] = np.nan
    assert count_non_finite(x) == (100, 1000)
    monkeypatch.setattr(data, "_ENTRIES", 2500)
    assert count_non_finite(x) == (100, 500)
    assert count_non_finite(np.zeros((0, 5))) == (0, 0)
    assert count_non_finite(np.array(["a", "b"])) == (0, 2)


@pytest.mark.parametrize("replaces", [True, False])
def test_a_model_that_replaces_nan_is_left_alone(replaces):
    """Its answers to such samples are finite; of another model they are not."""

    def zeros(x):
        return keras.ops.where(keras.ops.isnan(x), 0.0, x) if replaces else 1.0 * x

    model = keras.Sequential([keras.Input((3,)), layers.Lambda(zeros), layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    x = np.repeat(NORMAL, 10, axis=0).astype("float32")
    x[777, 1] = np.nan
    codes = [f.code for f in diagnose(model, x, np.repeat(TWO, 10)).findings if f.confidence != "hint"]
    assert codes == ([] if replaces else ["non-finite-inputs"])


def test_batches_of_a_torch_dataloader_are_looked_at():
    """Its tensors on any backend, and NaN in them."""
    torch = pytest.importorskip("torch", reason="DataLoader comes with torch")
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile("sgd", "binary_crossentropy")
    x, y = torch.tensor(NORMAL.astype("float32")), torch.tensor(TWO.astype("float32"))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=16)
    assert diagnose(model, loader).findings[0].code == "cross-entropy-without-activation"
    assert diagnose(model, x, y).findings[0].code == "cross-entropy-without-activation"
    x[70, 0] = float("nan")
    assert "non-finite-inputs" in [f.code for f in diagnose(model, loader).findings]


def test_batches_of_their_own_lengths_are_looked_at_as_far_as_they_are_alike():
    """Padded each to a length of its own, as `fit` takes them."""
    model = keras.Sequential([keras.Input((None, 2)), layers.GlobalAveragePooling1D(), layers.Dense(1, "softmax")])
    model.compile("sgd", "binary_crossentropy")
    batches = iter([(np.ones((8, length, 2)), np.arange(8) % 2) for length in (3, 3, 5)])
    assert diagnose(model, batches).evidence["num_labels"] == 16


class FirstBatch(keras.utils.PyDataset):
    """Forgets the number of the batch."""

    num_batches, forgets = 4, True

    def __len__(self):
        return self.num_batches

    def __getitem__(self, index):
        first = 0 if self.forgets else 16 * index
        return NORMAL[first : first + 16], TWO[first : first + 16]


def _repeats(data):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", "binary_crossentropy")
    return [f.confidence for f in diagnose(model, data).findings if f.code == "same-batch-again"]


def test_a_batch_that_comes_again_and_again_is_named():
    """A hint: it may be a small data set. One batch is no repetition."""
    assert _repeats(FirstBatch()) == ["hint"]
    assert _repeats(iter([(NORMAL, TWO)] * 3)) == ["hint"]
    other = FirstBatch()
    other.forgets = False
    assert _repeats(other) == []
    other = FirstBatch()
    other.num_batches = 1
    assert _repeats(other) == []
    assert _repeats(iter([(NORMAL, TWO), (NORMAL, 1 - TWO)])) == []


SCALED = {
    "dense": (lambda: [layers.Dense(2)], True),
    "flattened": (lambda: [layers.Flatten(), layers.Dropout(0.1), layers.Dense(2)], True),
    "convolution": (lambda: [layers.RandomFlip(), layers.Conv2D(2, 1)], True),
    "nested": (lambda: [keras.Sequential([keras.Input((4, 4, 3)), layers.Flatten(), layers.Dense(2)])], True),
    "rescaled": (lambda: [layers.Rescaling(1 / 255), layers.Conv2D(2, 1)], False),
    "normalised": (lambda: [layers.Normalization(), layers.Dense(2)], False),
    "batch normalised": (lambda: [layers.BatchNormalization(), layers.Dense(2)], False),
}


@pytest.mark.parametrize("name", SCALED)
def test_whether_an_input_reaches_a_kernel_as_it_is(name):
    """Through reshapes, augmentation and nested models; not through what changes the scale."""
    make, expected = SCALED[name]
    model = keras.Sequential([keras.Input((4, 4, 3), name="image"), *make()])
    assert ("input 0" in raw_inputs(model)) is expected
    assert ("image" in raw_inputs(model)) is expected


def test_each_input_of_several_is_looked_at_by_itself():
    """A dict of inputs: ids that are embedded, and a column of numbers that is not."""
    ids, number = keras.Input((6,), name="ids"), keras.Input((1,), name="number")
    features = layers.Concatenate()([layers.Flatten()(layers.Embedding(10, 2)(ids)), number])
    model = keras.Model({"ids": ids, "number": number}, layers.Dense(1)(features))
    assert raw_inputs(model) == {"input 1", "number"}
    sick = {"ids": RNG.integers(0, 9000, (80, 6)), "number": np.arange(80.0)[:, None] * 1000}
    findings = check_inputs(sick, None, raw_inputs(model))
    assert [(f.code, f.numbers["input"]) for f in findings] == [("input-scale", "number")]
    assert raw_inputs(object()) is None


@pytest.mark.parametrize("name", ["pixels", "one large feature", "far from 0", "divided by 255 twice"])
def test_the_fix_for_the_scale_leaves_nothing_to_say(name):
    """The pasted layer, applied to the data."""
    sick = INPUTS[name][0].astype("float32")
    (finding,) = check_inputs({"input 0": sick}, None, {"input 0"})
    pasted = {"x": sick}
    exec(finding.fix, pasted)
    assert codes({"input 0": pasted["x"]}, None, {"input 0"}) == {}


def test_the_fixes_for_the_data_do_what_they_say():
    """NaN in inputs and labels, large targets, classes in order and class weights, each by its pasted code."""
    pasted = {"x": HOLE.copy()}
    exec(check_finite(Probe(HOLE, TWO).non_finite)[0].fix, pasted)
    assert np.isfinite(pasted["x"]).all()
    pasted = {"x": NORMAL, "y": NAN}
    exec(check_labels(NAN, BINARY)[0].fix, pasted)
    assert len(pasted["x"]) == len(pasted["y"]) == 79
    pasted = {"y": LABELS["thousands"][1]}
    exec(check_labels(pasted["y"], LINEAR)[0].fix, pasted)
    assert check_labels(pasted["y"], LINEAR) == []
    rare = LABELS["nine of ten"][1]
    pasted = {"y": rare}
    exec(check_labels(rare, BINARY)[0].fix, pasted)
    weights = np.array([pasted["class_weight"][int(c)] for c in rare])
    assert weights[rare].sum() == pytest.approx(weights[~rare].sum())
    ordered = np.repeat(np.arange(4), 100)
    pasted = {"x": ordered, "y": ordered}
    exec(check_order(ordered, 20)[0].fix, pasted)
    assert check_order(pasted["y"], 20) == []
    assert (pasted["x"] == pasted["y"]).all()


def test_samples_that_contradict_each_other_bound_the_accuracy():
    """Four times the same input with labels 0 0 0 1: at most 3 of 4 can be right. Without targets: nothing to say."""
    x = np.repeat(NORMAL[:20], 4, axis=0)
    y = np.tile([0, 0, 0, 1], 20)
    (finding,) = check_inputs({"input 0": x}, y)
    assert (finding.code, finding.confidence) == ("contradicting-labels", "hint")
    assert finding.numbers["best"] == 0.75
    assert finding.numbers["num_distinct"] == 20
    assert check_inputs({"input 0": x}, np.repeat(y[:20], 4)) == []
    assert check_inputs({"input 0": NORMAL}, TWO) == []
    assert check_inputs({"input 0": x}, NORMAL[:, 0]) == []


ORDERS = {
    "in order": (np.repeat(np.arange(10), 50), 32, "forecast"),
    "in order, batches of one": (np.repeat(np.arange(2), 100), 1, "forecast"),
    "in long runs": (np.tile(np.repeat(np.arange(4), 40), 5), 20, "forecast"),
    "in runs shorter than a batch": (np.tile(np.repeat(np.arange(4), 16), 40), 32, "hint"),
    "alternating": (np.arange(400) % 2, 32, None),
    "shuffled": (RNG.permutation(np.arange(500) % 10), 32, None),
    "one class": (np.zeros(400), 32, None),
    "one batch": (np.repeat(np.arange(2), 16), 32, None),
}


@pytest.mark.parametrize("name", ORDERS)
def test_classes_in_order_are_named_and_shuffled_ones_are_not(name):
    """By how much more alike two samples of a batch are than in a shuffle."""
    classes, batch_size, expected = ORDERS[name]
    findings = check_order(classes, batch_size)
    assert [f.confidence for f in findings] == ([expected] if expected else [])


def test_what_shuffling_gives_is_what_shuffles_give():
    """Mean and bound of the order rule, against 2000 shuffles: none of them is called ordered."""
    classes = np.repeat(np.arange(3), [40, 20, 12])
    (finding,) = check_order(classes, 16)
    cut = [slice(start, start + 16) for start in range(0, 72, 16)]
    pairs, alarms = [], 0
    for _ in range(2000):
        shuffled = RNG.permutation(classes)
        counts = np.array([[(shuffled[part] == c).sum() for c in range(3)] for part in cut])
        pairs.append((counts * (counts - 1)).sum() / (16 * 15 * 4 + 8 * 7))
        alarms += bool(check_order(shuffled, 16))
    assert finding.numbers["expected"] == pytest.approx(np.mean(pairs), abs=4 * np.std(pairs) / 2000**0.5)
    z = (finding.numbers["observed"] - np.mean(pairs)) / np.std(pairs)
    assert finding.numbers["odds"] == pytest.approx(1 + z * z, rel=0.15)
    assert alarms == 0


@pytest.mark.parametrize("kind", ["sparse", "categorical"])
def test_labels_of_each_step_or_pixel_are_read_as_one_column(kind):
    """Labels (n, steps) under an output (n, steps, units) are class numbers; (n, steps, units) are rows."""
    seen = Head("output", 5, 2, ("softmax",), True, loss=HeadLoss(kind, kind))
    labels = RNG.integers(0, 5, (80, 6))
    assert check_labels(labels if kind == "sparse" else np.eye(5)[labels], seen) == []
    worse = np.where(labels == 0, -3, labels)
    assert check_labels(worse if kind == "sparse" else 3 * np.eye(5)[labels], seen) != []
