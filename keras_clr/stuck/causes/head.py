"""Causes: the output layer, the loss, the metrics and the labels do not fit one another."""

from __future__ import annotations

from keras_clr.stuck.finding import Cause

_OTHER_DATA = "Whether labels that were not given look different."

SOFTMAX_OVER_ONE_UNIT = Cause(
    code="softmax-over-one-unit",
    sentence=(
        "Output `{output}` has one unit, and {normaliser} divides it by its sum, which is itself: {consequence} "
        "whatever the weights."
    ),
    cannot_know=("Whether the output was meant to have one unit per class.",),
    fix="{change}",
    explains=("saturated-clipped-loss", "saturated-output", "constant-output", "output-ignores-input", "zero-gradient"),
)

FIT_FAILS = Cause(
    code="fit-fails",
    sentence="`fit` will stop on its first batch: {reason}",
    cannot_know=("Whether more is wrong behind that: nothing could be computed.",),
    fix=(
        "import keras\n"
        "\n"
        "print(keras.tree.map_structure(lambda array: (array.dtype, array.shape), (x, y)), model.loss)\n"
        "model.summary()  # do input and output fit these shapes? Labels must be numbers, a row for each output.\n"
    ),
)

SAMPLES_MIXED = Cause(
    code="samples-mixed",
    sentence="{what} A sample is to be answered by itself: what others come along in its batch must not matter.",
    cannot_know=("Whether it is meant so, as in a loss that compares the samples of a batch.",),
    fix=(
        "import keras\n"
        "\n"
        "# Axis 0 is the batch. In layers and losses, classes are on the last axis: axis=-1.\n"
        "for layer in model.layers:\n"
        '    print(layer.name, [layer.get_config().get(key) for key in ("axis", "activation")])\n'
        "head = keras.layers.Softmax(axis=-1)\n"
        "loss = keras.losses.CategoricalCrossentropy(axis=-1)\n"
    ),
    explains=("fit-fails",),
)

SHAPES_STRETCHED = Cause(
    code="shapes-stretched",
    sentence=(
        "Output `{output}` has the shape {output_shape}, its labels {label_shape}: `{loss}` stretches one over the "
        "other without a word, to {stretched}, so that outputs are compared with labels that are not theirs."
    ),
    cannot_know=("Whether all of these outputs are meant to be compared with the same label.",),
    fix=(
        "print(model.output_shape, y.shape)  # make them the same, for instance:\n"
        "# - keras.layers.Flatten() or GlobalAveragePooling1D() before the last Dense layer, return_sequences=False;\n"
        "# - y = y.reshape(len(y), *model.output_shape[1:])\n"
    ),
)

FEWER_UNITS_THAN_CLASSES = Cause(
    code="fewer-units-than-classes",
    sentence=(
        "Output `{output}` has {units} units, but the labels ask for {num_classes}: {share:.1%} of the labels are of a "
        "class that no unit stands for. Some backends stop with an error; others leave these samples out in silence."
    ),
    cannot_know=(_OTHER_DATA,),
    fix="{change}",
    explains=("fit-fails",),
)

ONE_HOT_LABELS_WITH_SPARSE_LOSS = Cause(
    code="one-hot-labels-with-sparse-loss",
    sentence=(
        "Output `{output}` has rows of {columns} columns as labels, but `{loss}` takes class numbers: Keras refuses "
        "the shapes."
    ),
    cannot_know=(),
    fix="{change}",
    explains=("fit-fails",),
)

CLASS_NUMBERS_WITH_ONE_HOT_LOSS = Cause(
    code="class-numbers-with-one-hot-loss",
    sentence=(
        "Output `{output}` has {units} units and `{loss}` compares each of them with a column of its own, but the "
        "labels have one column: {consequence}"
    ),
    cannot_know=("Whether every unit is meant to be compared with the same number.",),
    fix="{change}",
    explains=("fit-fails", "shapes-stretched"),
)

LOSS_SUMMED = Cause(
    code="loss-summed",
    sentence=(
        '`{loss}` of output `{output}` adds up the losses of a batch (reduction="sum"): loss and gradient are as many '
        "times those of a mean as there are samples in the batch, and a learning rate that fits a mean is that many "
        "times too high."
    ),
    cannot_know=(
        "Whether the rate was chosen for it. Optimizers that divide by the gradient's size, as Adam, do not care.",
    ),
    fix=(
        "import keras\n"
        "\n"
        "settings = model.get_compile_config()\n"
        'settings["loss"]["config"]["reduction"] = "sum_over_batch_size"  # with several outputs, of each\n'
        "model = keras.models.clone_model(model)  # new weights\n"
        "model.compile_from_config(settings)\n"
    ),
    explains=("diverged", "rate-too-high", "exploding-gradient"),
)

SOFTMAX_OVER_OTHER_AXIS = Cause(
    code="softmax-over-other-axis",
    sentence=(
        "Output `{output}` ends in a softmax over axis {axis}, but `{loss}` looks for the classes on the last axis, of "
        "{units}: what sums to 1 are not the classes of one label, but all labels for one class."
    ),
    cannot_know=("Whether it is meant so. On TensorFlow the loss may look behind the softmax; metrics do not.",),
    fix="{change}",
)

FROM_LOGITS_ON_PROBABILITIES = Cause(
    code="from-logits-on-probabilities",
    sentence="`{loss}` has from_logits=True, but output `{output}` ends in {chain} already: {consequence}",
    cannot_know=("Which of the two was meant to go.",),
    fix="{change}",
)

DOUBLE_ACTIVATION = Cause(
    code="double-activation",
    sentence="Output `{output}` goes through {chain}, one after the other: {consequence}",
    cannot_know=("Which of them was meant to go.",),
    fix="{change}",
)

CROSS_ENTROPY_WITHOUT_ACTIVATION = Cause(
    code="cross-entropy-without-activation",
    sentence="Output `{output}` ends in {chain}, but `{loss}` takes it for probabilities: {consequence}",
    cannot_know=("Whether this run gets by: that depends on the initial weights and the steps.",),
    fix="{change}",
    # What is no probability is clipped; rows that are divided by a sum of 0 are NaN.
    explains=("saturated-clipped-loss", "saturated-output", "diverged"),
)

BOUNDED_OUTPUT = Cause(
    code="bounded-output-cannot-reach-targets",
    sentence=(
        "Output `{output}` ends in {chain} and lies in [{low:.4g}, {high:.4g}], but {share:.1%} of the targets, which "
        "go from {smallest:.4g} to {largest:.4g}, lie outside. {consequence}"
    ),
    cannot_know=(_OTHER_DATA,),
    fix="{change}",
)

ACTIVATION_DOES_NOT_MATCH_LOSS = Cause(
    code="activation-does-not-match-loss",
    sentence="Output `{output}` ends in {chain}, but `{loss}` is made for {wanted}: {consequence}",
    cannot_know=("Whether it is meant so.",),
    fix="{change}",
)

REGRESSION_LOSS_ON_CLASSES = Cause(
    code="regression-loss-on-classes",
    sentence=(
        "`{loss}` is a loss for quantities, but the labels of output `{output}` are {num_classes} classes. "
        "{consequence}"
    ),
    cannot_know=("Whether it is meant so: with small networks it often learns, if more slowly.",),
    fix="{change}",
)

METRIC_MISREADS_OUTPUT = Cause(
    code="metric-misreads-output",
    sentence=(
        "Metric `{metric}` of output `{output}` does not mean what it says: {consequence} It has no part in training."
    ),
    cannot_know=("How good the model is: this metric does not tell.",),
    fix="{change}",
)

CAUSES = (
    FIT_FAILS,
    SAMPLES_MIXED,
    SHAPES_STRETCHED,
    SOFTMAX_OVER_ONE_UNIT,
    ONE_HOT_LABELS_WITH_SPARSE_LOSS,
    CLASS_NUMBERS_WITH_ONE_HOT_LOSS,
    FEWER_UNITS_THAN_CLASSES,
    FROM_LOGITS_ON_PROBABILITIES,
    DOUBLE_ACTIVATION,
    CROSS_ENTROPY_WITHOUT_ACTIVATION,
    SOFTMAX_OVER_OTHER_AXIS,
    LOSS_SUMMED,
    BOUNDED_OUTPUT,
    ACTIVATION_DOES_NOT_MATCH_LOSS,
    REGRESSION_LOSS_ON_CLASSES,
    METRIC_MISREADS_OUTPUT,
)
