"""The pasted fix of each cause in the head: before it the model cannot learn its data, after it does."""

import warnings

import keras
import numpy as np
import pytest
from stuck.heads import compiled, dense

from keras_clr._keras.heads import read_heads
from keras_clr.stuck.checks.head import check_head

layers, losses = keras.layers, keras.losses


def task_data(num_classes):
    classes = np.random.default_rng(1).permutation(np.arange(96) % num_classes)
    x = 3.0 * np.eye(5)[classes][:, :4] + np.random.default_rng(2).normal(scale=0.2, size=(96, 4))
    return x.astype("float32"), classes


X2, Y2 = task_data(2)
X5, Y5 = task_data(5)


def _refused(model, x, y):
    with pytest.raises(ValueError, match="shape"):
        model.train_on_batch(x, y)
    return True


def _same_for_all(model, x, y):
    model.fit(x, y, epochs=3, verbose=0)
    return np.ptp(model.predict(x, verbose=0), axis=0).max() == 0.0


def _loss_stays_above(least):
    return lambda model, x, y: model.fit(x, y, epochs=12, verbose=0).history["loss"][-1] >= least


def _metric_stays_below(most):
    def sick(model, x, y):
        if keras.backend.backend() == "torch" and y.max() > 1:
            # torch looks at the labels itself.
            with pytest.raises(RuntimeError, match="between 0 and 1"):
                model.train_on_batch(x, y)
            return True
        history = model.fit(x, y, epochs=12, verbose=0).history
        return history[next(key for key in history if key != "loss")][-1] <= most

    return sick


def _one_yes_a_row(model, x, y):
    model.fit(x, y, epochs=12, verbose=0)
    return (y.sum(axis=1) == 2).all() and ((model.predict(x, verbose=0) > 0.5).sum(axis=1) <= 1).all()


def _stands_still(model, x, y):
    before = model.get_weights()
    model.fit(x, y, epochs=2, verbose=0)
    return all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))


def _below_zero(model):
    """The last Dense layer answers -1 to every sample."""
    (layer,) = [layer for layer in model.layers if isinstance(layer, layers.Dense)]
    layer.kernel.assign(0.0 * keras.ops.ones(layer.kernel.shape))
    layer.bias.assign(-keras.ops.ones(layer.bias.shape))


SMOOTH = X5 @ np.array([2.0, -1.0, 0.5, 1.0]) + 3.0
FLOOR_5 = float(np.log(1 + 4 * np.exp(-1.0)))
# Model, data, what its training looks like, and the number that the last metric reaches after the fix.
CURES = {
    "softmax-over-one-unit": (dense(1, "softmax"), "binary_crossentropy", X2, Y2, None, _same_for_all),
    "double-activation": (
        dense(5, "softmax", "softmax"),
        "categorical_crossentropy",
        X5,
        np.eye(5)[Y5],
        None,
        _loss_stays_above(FLOOR_5),
    ),
    "from-logits-on-probabilities": (
        dense(5, "tanh"),
        losses.SparseCategoricalCrossentropy(from_logits=True),
        X5,
        Y5,
        None,
        _loss_stays_above(float(np.log(1 + 4 * np.exp(-2.0)))),
    ),
    "cross-entropy-without-activation": (dense(1), "binary_crossentropy", X2, Y2, _below_zero, _stands_still),
    "activation-does-not-match-loss": (
        dense(5, "softmax"),
        "binary_crossentropy",
        X5,
        np.eye(5)[Y5] + np.eye(5)[(Y5 + 1) % 5],
        None,
        _one_yes_a_row,
    ),
    "fewer-units-than-classes": (dense(3, "softmax"), "categorical_crossentropy", X5, np.eye(5)[Y5], None, _refused),
    "one-hot-labels-with-sparse-loss": (
        dense(5, "softmax"),
        "sparse_categorical_crossentropy",
        X5,
        np.eye(5)[Y5],
        None,
        _refused,
    ),
    "class-numbers-with-one-hot-loss": (dense(5, "softmax"), "categorical_crossentropy", X5, Y5, None, _refused),
    "bounded-output-cannot-reach-targets": (
        dense(1, "sigmoid"),
        "mean_squared_error",
        X5,
        SMOOTH.astype("float32"),
        None,
        _loss_stays_above(float(np.mean((SMOOTH - np.clip(SMOOTH, 0, 1)) ** 2))),
    ),
    # Surely wrong from the start: the slope of the sigmoid is 2e-9.
    "regression-loss-on-classes": (
        dense(1, "sigmoid"),
        "mean_squared_error",
        X2,
        Y2,
        lambda model: model.layers[0].bias.assign([-20.0]),
        _loss_stays_above(0.45),
    ),
    "labels-outside-range": (dense(1, "sigmoid"), "binary_crossentropy", X5, Y5, None, _metric_stays_below(0.45)),
    "softmax-over-other-axis": (
        lambda: [layers.Dense(4), layers.Reshape((2, 2)), layers.Dense(3), layers.Softmax(axis=1)],
        "categorical_crossentropy",
        X2,
        np.eye(3)[np.stack([Y2, 1 - Y2], axis=1)],
        None,
        # After training, too, the answers of a step do not sum to 1: those of a class do, over both steps.
        lambda model, x, y: (
            model.fit(x, y, epochs=12, verbose=0)
            and not np.allclose(model.predict(x, verbose=0).sum(axis=-1), 1.0, atol=1e-3)
        ),
    ),
    "labels-not-whole-numbers": (
        dense(5, "softmax"),
        "sparse_categorical_crossentropy",
        X5,
        Y5 / 5,
        None,
        # All labels are cut off to class 0.
        lambda model, x, y: (
            model.fit(x, y, epochs=12, verbose=0) and (model.predict(x, verbose=0).argmax(axis=1) == 0).mean() > 0.9
        ),
    ),
    # Half of the answers can be right: those to label 1.
    "metric-misreads-output": (dense(1, "tanh"), "hinge", X2, 2 * Y2 - 1, None, _metric_stays_below(0.5)),
}


@pytest.mark.parametrize("code", CURES)
def test_the_sick_model_stays_sick_and_the_pasted_fix_cures_it(code):
    """Training shows what the finding says; after the code in the fix, the same data are learned."""
    head, loss, x, y, start, is_sick = CURES[code]
    model = compiled(head, loss, ["mae"] if code.startswith("bounded") else ["accuracy"])
    if start:
        start(model)
    findings = {finding.code: finding for finding in check_head(read_heads(model)[0], y)}
    with warnings.catch_warnings():
        # Keras' own words on softmax over one unit.
        warnings.filterwarnings("ignore", "You are using a softmax")
        assert is_sick(model, x, y)
    pasted = {"model": model, "x": x, "y": y}
    exec(findings[code].fix, pasted)
    history = pasted["model"].fit(pasted["x"], pasted["y"], epochs=60, verbose=0).history
    measured = next(history[key] for key in history if key != "loss")[-1]
    assert measured < 0.5 if code.startswith("bounded") else measured > 0.9
    again = check_head(read_heads(pasted["model"])[0], np.asarray(pasted["y"]))
    assert [finding.code for finding in again if finding.confidence != "hint"] == []
