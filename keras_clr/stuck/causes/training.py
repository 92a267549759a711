"""Causes that show while training runs."""

from __future__ import annotations

from keras_clr.stuck.causes.data import SHUFFLE
from keras_clr.stuck.finding import Cause

_NO_GRADIENT = (
    "the gradient of all {num_variables} trainable variables is exactly 0, in {num_draws} passes with dropout drawn "
    "anew, at {num_checks} epoch ends in a row, and all along the way that the optimizer's momentum still carries the "
    "weights.{lasting}"
)
_OTHER_SAMPLES = (
    "Whether samples unlike the probe still have a gradient. Of samples like it, at most {other_share:.1%} do, with "
    "95% confidence."
)

# Two changes for the same thing, which depend on what else was seen.
SAME_CODE = (
    "# Are both sets prepared by the same code? Evaluate on training samples first: as good as in training?\n"
    "print(model.evaluate(x, y, verbose=0))\n"
    "# If not, it is BatchNormalization or dropout. If so, the validation data differ, or there are too few\n"
    "# training samples for this model: more data, augmentation, a smaller model, regularisation.\n"
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
    explains=("saturated-output", "constant-output", "saturated-layer"),
)

ZERO_GRADIENT = Cause(
    code="zero-gradient",
    sentence="No weight can move any more: on all {num_samples} probe samples, " + _NO_GRADIENT,
    cannot_know=(
        _OTHER_SAMPLES,
        (
            "Why the gradient is 0, unless another finding says so: dead units, a loss without slope and a cut in the "
            "graph look the same from here."
        ),
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

OUTPUT_IGNORES_INPUT = Cause(
    code="output-ignores-input",
    sentence=(
        "The output is the same for all {num_samples} probe samples, and of {num_variables} trainable variables the "
        "{num_held} that could change that have a gradient of exactly 0, in {num_draws} passes with dropout drawn "
        "anew, at {num_checks} epoch ends in a row, and all along the way that the optimizer's momentum still carries "
        "them. That stays so with the others changed at random: all that can still be learned is one answer for all."
        "{lasting}"
    ),
    cannot_know=(_OTHER_SAMPLES, "Which update cut the input off, if it was not cut off from the start."),
    fix=(
        "import keras\n"
        "\n"
        "# Start from new weights; this loses them. What makes it less likely to happen again:\n"
        '# - kernel_initializer="he_normal" in layers with relu, or activation="leaky_relu";\n'
        "# - keras.layers.BatchNormalization() before the activations of a deep network;\n"
        "# - a lower largest learning rate ({rate:g} when this was seen); inputs of mean 0 and spread 1.\n"
        '# Or let the detector start anew by itself: StuckDetector(probe_data, on_stuck="restart").\n'
    ),
)

DIVERGED = Cause(
    code="diverged",
    sentence=(
        "{what} in epoch {epoch}{before}. Once a weight is not a number it never becomes one again: this run is lost."
    ),
    cannot_know=("At which batch it began: `keras.callbacks.TerminateOnNaN` stops there.",),
    fix=(
        "import keras\n"
        "\n"
        "# Start from new weights, with a lower rate (keras_clr.find_lr measures one) and bounded gradients:\n"
        "optimizer = keras.optimizers.{optimizer}({lower_rate:.3g}, clipnorm=1.0)\n"
        "# model.compile(optimizer, ...)\n"
    ),
)

RATE_TOO_HIGH = Cause(
    code="rate-too-high",
    sentence="{story} The learning rate was {rate:.3g} at the end of that epoch.",
    cannot_know=("Whether a batch of odd samples had the larger part in it.",),
    fix=(
        "import keras\n"
        "\n"
        "# Start from new weights or the last good ones, with a lower rate; keras_clr.find_lr measures one.\n"
        "optimizer = keras.optimizers.{optimizer}({lower_rate:.3g}, clipnorm=1.0)\n"
        "# model.compile(optimizer, ...)\n"
    ),
)

ZERO_SAMPLE_WEIGHTS = Cause(
    code="zero-sample-weights",
    sentence="{story}",
    cannot_know=(
        (
            "Whether `sample_weight`, `class_weight`, the weights in a dataset or `loss_weights` are 0, or the "
            "training data are others than the probe."
        ),
    ),
    fix=(
        "# Look at what goes into `fit`: without `sample_weight` and `class_weight` every sample weighs 1.\n"
        "model.fit(x, y)\n"
    ),
    explains=("rate-too-low", "rate-too-high"),
)

PENALTY_DOMINATES = Cause(
    code="penalty-dominates-loss",
    sentence=(
        "The regularizers of the weights add {penalty:.3g} to the loss, where all that can be learned from the "
        "data is worth at most {constant_loss:.3g}. {consequence}"
    ),
    cannot_know=("Whether a weaker penalty is enough for this task to be learned.",),
    fix=(
        "import keras\n"
        "\n"
        "\n"
        "def change(layer):\n"
        "    config = layer.get_config()\n"
        '    if config.get("kernel_regularizer"):\n'
        '        config["kernel_regularizer"] = keras.regularizers.L2(1e-4)\n'
        "    return type(layer).from_config(config)\n"
        "\n"
        "\n"
        "settings = model.get_compile_config()\n"
        "model = keras.models.clone_model(model, clone_function=change, recursive=True)  # new weights\n"
        "model.compile_from_config(settings)\n"
    ),
    explains=("rate-too-high", "rate-too-low", "no-signal-found", "initial-loss-far-above-chance"),
)

RATE_ZERO = Cause(
    code="rate-zero",
    sentence=(
        "The learning rate was 0 at the last {num_epochs} epoch ends, and the answers to the probe samples have not "
        "changed by a bit in between: nothing is being trained."
    ),
    cannot_know=("Whether a schedule or a callback will raise the rate later.",),
    fix="model.optimizer.learning_rate = 1e-3  # or measure one: keras_clr.find_lr(model, x, y).suggest()\n",
)

RATE_TOO_LOW = Cause(
    code="rate-too-low",
    sentence=(
        "In the fastest epoch so far the answers to the probe samples moved by {moved:.2g}. At that speed, and "
        "speeding up as it did so far, they move by {reachable:.2g} in {time}; {needed:.2g} "
        "are needed for as many answers to become right as make {share:.0%} of the samples. The learning rate is "
        "{rate:.3g}."
    ),
    cannot_know=("Whether the rate will be raised, or whether the run would speed up by itself.",),
    fix=(
        "import keras_clr\n"
        "\n"
        "curve = keras_clr.find_lr(model, x, y)  # leaves the model as it is\n"
        "model.optimizer.learning_rate = curve.suggest()\n"
    ),
)

NO_SIGNAL = Cause(
    code="no-signal-found",
    sentence=(
        "The loss on the probe samples, {loss:.4f}, is that of answering the same to every sample, {constant:.4f} "
        "({skill:+.2%}), after {num_samples:,.0f} training samples: the shares of the labels have been learned, and "
        "nothing about the inputs."
    ),
    cannot_know=(
        (
            "Why: inputs that say nothing about the labels, labels that were mixed up, a network that cannot see what "
            "matters, and a slow start look the same from here."
        ),
    ),
    fix=(
        "import numpy as np\n"
        "\n"
        "# Can the model learn 32 samples by heart? If not, it is the network or the rate; if so, look at the data.\n"
        "few = np.random.default_rng(0).permutation(len(x))[:32]\n"
        "model.fit(x[few], y[few], epochs=200, verbose=0)\n"
        "print(model.evaluate(x[few], y[few], verbose=0))\n"
    ),
)

VALIDATION_AT_CHANCE = Cause(
    code="validation-at-chance",
    sentence=(
        "Training reached an accuracy of {accuracy:.4f}, validation has stayed at {validation:.4f} for {num_epochs} "
        "epochs; chance is {chance:.4f}.{in_order}"
    ),
    cannot_know=(
        "Whether the model learns the training data by heart, or the two sets were prepared in different ways.",
    ),
    fix="{change}",
)

ONE_CLASS_AT_A_TIME = Cause(
    code="one-class-at-a-time",
    sentence=(
        "In training {accuracy:.4f} of the answers were right, but at the epoch's end only {probe:.4f} of those on the "
        "probe samples are, which is chance ({chance:.4f}), and the probe's labels came in the order of their classes: "
        "the model answers what came last."
    ),
    cannot_know=("Whether the data really come in this order: `fit(shuffle=...)` cannot be asked.",),
    fix=SHUFFLE,
)

# Last: what says that nothing is learned, but not why.
CAUSES = (
    SATURATED_CLIPPED_LOSS,
    DIVERGED,
    ZERO_SAMPLE_WEIGHTS,
    PENALTY_DOMINATES,
    RATE_ZERO,
    RATE_TOO_HIGH,
    ONE_CLASS_AT_A_TIME,
    RATE_TOO_LOW,
    VALIDATION_AT_CHANCE,
)
UNEXPLAINED = (OUTPUT_IGNORES_INPUT, ZERO_GRADIENT, NO_SIGNAL)
