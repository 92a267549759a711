"""Causes that show while training runs."""

from __future__ import annotations

from keras_clr.stuck.finding import Cause

_NO_GRADIENT = (
    "the gradient of all {num_variables} trainable variables is exactly 0, in {num_draws} passes with dropout drawn "
    "anew, at {num_checks} epoch ends in a row, and all along the way that the optimizer's momentum still carries the "
    "weights."
)
_OTHER_SAMPLES = (
    "Whether samples unlike the probe still have a gradient. Of samples like it, at most {other_share:.1%} do, with "
    "95% confidence."
)

SATURATED_CLIPPED_LOSS = Cause(
    code="saturated-clipped-loss",
    sentence=(
        "All {num_samples} probe samples have a true-class probability outside [{epsilon:g}, 1 - {epsilon:g}] "
        "({num_wrong} at 0, {num_right} at 1), where Keras clips it inside the cross-entropy: "
        + _NO_GRADIENT
        + "{signature}{reach}"
    ),
    cannot_know=(
        _OTHER_SAMPLES,
        "Which update froze the run, and whether input scale, learning rate or weights had the larger part in it.",
    ),
    fix=(
        "import keras\n"
        "\n"
        "{rescaling}"
        "head = keras.layers.Dense({units})  # last layer: no activation, and no layer after it\n"
        "loss = keras.losses.{loss}(from_logits=True)\n"
        "metrics = [{metric}]\n"
        "# model.compile(optimizer, loss=loss, metrics=metrics), and start from new weights.\n"
        "# Still stuck? Lower the largest learning rate ({rate:g} when this was seen).\n"
    ),
)

ZERO_GRADIENT = Cause(
    code="zero-gradient",
    sentence="No weight can move any more: on all {num_samples} probe samples, " + _NO_GRADIENT + " Why is not known.",
    cannot_know=(
        _OTHER_SAMPLES,
        "Why the gradient is 0: dead units, a loss without slope and a cut in the graph look the same from here.",
    ),
    fix=(
        "import keras\n"
        "\n"
        "# Which layer gives the same output for every sample? Look at the first one that does.\n"
        "for layer in model.layers:\n"
        "    output = keras.Model(model.inputs, layer.output).predict(x, verbose=0)\n"
        '    print(layer.name, "changes over the samples by", float(output.std(axis=0).max()))\n'
        "# Then start from new weights, with a smaller learning rate.\n"
    ),
)

CAUSES = (SATURATED_CLIPPED_LOSS, ZERO_GRADIENT)
