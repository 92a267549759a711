"""Causes: what a forward and backward pass shows in the layers, before training or during it."""

from __future__ import annotations

from keras_clr.stuck.finding import Cause

_SAMPLES = "Whether samples unlike these {num_samples} behave otherwise."
# Names for what every fix ends with: the same model, changed, with new weights.
_REBUILD = (
    "\n"
    "settings = model.get_compile_config()\n"
    "model = keras.models.clone_model(model, clone_function=change, recursive=True)  # new weights\n"
    "model.compile_from_config(settings)\n"
)
_CHANGE = "import keras\n\n\ndef change(layer):\n    config = layer.get_config()\n"
_NEW_WEIGHTS = (
    "settings = model.get_compile_config()\n"
    "model = keras.models.clone_model(model)  # new weights\n"
    "model.compile_from_config(settings)\n"
)
_SCALE_INPUTS = (
    "import keras\n"
    "\n"
    "x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-3)  # do the same to what you validate and predict on\n"
)
_ALIVE = (
    _CHANGE + "    if layer.name == {layer!r}:\n"
    '        config |= {{"activation": "leaky_relu"}} if "activation" in config else {{"negative_slope": 0.2}}\n'
    '    if "kernel_initializer" in config:\n'
    '        config["kernel_initializer"] = "he_normal"\n'
    "    return type(layer).from_config(config)\n\n" + _REBUILD
)

NON_FINITE = Cause(
    code="non-finite-first-pass",
    sentence="NaN or infinity on the first pass. It begins in {place}. No step of training makes a number of it again.",
    cannot_know=(
        "Which operation inside of it is the cause: a division by 0, a logarithm of 0 and an overflow differ.",
    ),
    fix=(
        "import keras\n"
        "import numpy as np\n"
        "\n"
        "x = np.nan_to_num(x, posinf=0.0, neginf=0.0)  # better: find where they come from\n"
        "settings = model.get_compile_config()\n"
        'settings["optimizer"]["config"]["clipnorm"] = 1.0  # no single step can blow the weights up\n'
        "model = keras.models.clone_model(model)  # new weights\n"
        "model.compile_from_config(settings)\n"
    ),
    explains=("diverged", "fit-fails"),
)

NO_TRAINABLE_WEIGHTS = Cause(
    code="no-trainable-weights",
    sentence="The model has no trainable weights: training changes nothing.",
    cannot_know=(),
    fix=(
        "settings = model.get_compile_config()\n"
        "model.trainable = False  # on TensorFlow, setting True again would not reach the layers inside\n"
        "model.trainable = True  # or only the layers that you mean to train\n"
        "model.compile_from_config(settings)  # a change of `trainable` counts from here on\n"
    ),
)

LOSS_WITHOUT_SLOPE = Cause(
    code="loss-without-slope",
    sentence=(
        "The loss has no slope: whatever the outputs for these {num_samples} samples are, a small change of them does "
        "not change it by a bit, so that the data give no weight a gradient. A rounding, a comparison, `argmax`, "
        "`sign` or `stop_gradient` in the loss does that, and so do loss weights of 0."
    ),
    cannot_know=("Which operation it is.",),
    fix=(
        "print(model.loss, model.get_compile_config().get('loss_weights'))\n"
        "# Count right answers in a metric; let the loss see the outputs as they are, for instance:\n"
        'loss = "binary_crossentropy"  # or "sparse_categorical_crossentropy", "mean_squared_error"\n'
    ),
    explains=("unconnected-weights", "zero-gradient", "output-ignores-input", "loss-rewards-wrong-answers"),
)

LOSS_REWARDS_WRONG_ANSWERS = Cause(
    code="loss-rewards-wrong-answers",
    sentence=(
        "For {share:.1%} of {num_samples} samples the loss falls if the answer for their class falls: training makes "
        "the model worse. Somewhere a sign is turned round (the loss, its weight), or the labels are."
    ),
    cannot_know=("Whether a low output is meant to say yes, as a distance does.",),
    fix=(
        "# A loss falls when answers get better: cross-entropies are -log(probability of the true class).\n"
        "print(model.loss, model.get_compile_config().get('loss_weights'))\n"
        'loss = "binary_crossentropy"  # or "sparse_categorical_crossentropy"; or turn the sign of yours round\n'
    ),
)

DROPOUT_LEAVES_NOTHING = Cause(
    code="dropout-leaves-nothing",
    sentence=(
        "Layer `{layer}` drops {rate:.2%} of {num_entries} values: of a sample, {kept:.3g} get through on average. "
        "{consequence}"
    ),
    cannot_know=("How many epochs it takes to average that noise out.",),
    fix=(
        _CHANGE + '    if layer.name == {layer!r}:\n        config["rate"] = 0.5  # of what is dropped\n'
        "    return type(layer).from_config(config)\n\n" + _REBUILD
    ),
    explains=("dead-layer",),
)

SYMMETRIC_WEIGHTS = Cause(
    code="symmetric-weights",
    sentence=(
        "All {num_units} units of layer `{layer}` have the same weights, and the same gradient: they stay the same for "
        "ever, and are worth one unit. ({num_layers} layer(s) like that.) Its weights start from a constant."
    ),
    cannot_know=("Whether one unit is enough for this task.",),
    fix=(
        _CHANGE + '    if "kernel_initializer" in config:\n'
        '        config["kernel_initializer"] = "glorot_uniform"\n'
        "    return type(layer).from_config(config)\n\n" + _REBUILD
    ),
)

DEAD_LAYER = Cause(
    code="dead-layer",
    sentence=(
        "All {num_units} units of layer `{layer}` ({activation}) are 0 on all {num_samples} samples, so it passes on "
        "neither a signal nor a gradient. {consequence}"
    ),
    cannot_know=(_SAMPLES,),
    fix=_ALIVE,
)

SATURATED_OUTPUT = Cause(
    code="saturated-output",
    sentence=(
        "{num_wrong} of {num_samples} samples are answered wrongly with a probability of the true class below "
        "{epsilon:g}, where Keras clips it inside the cross-entropy. {consequence}The pre-activations are too large: "
        "inputs that are not scaled, or large weights."
    ),
    cannot_know=(_SAMPLES, "Whether the other samples, that have a gradient, pull these back in time."),
    fix=_SCALE_INPUTS + _NEW_WEIGHTS,
)

SATURATED_LAYER = Cause(
    code="saturated-layer",
    sentence=(
        "{num_saturated} of {num_units} units of layer `{layer}` ({activation}) are saturated on all {num_samples} "
        "samples: their slope is below 1/1000, so next to nothing before them learns. {consequence}"
    ),
    cannot_know=(_SAMPLES, "Whether the layers after it can solve the task with what it gives now."),
    fix=_SCALE_INPUTS + _NEW_WEIGHTS,
)

CONSTANT_OUTPUT = Cause(
    code="constant-output",
    sentence=(
        "The output is the same for all {num_samples} samples. From layer `{layer}` on ({class_name}, {num_after} "
        "layer(s)), nothing depends on the input. {consequence}"
    ),
    cannot_know=(_SAMPLES,),
    fix="{change}",
)

# What to change about a constant output, by what makes it constant.
TAKE_OUT = (
    _CHANGE + "    if layer.name == {layer!r}:\n"
    "        return keras.layers.Identity(name=layer.name)  # what gives the same for every input has no use\n"
    "    return type(layer).from_config(config)\n\n" + _REBUILD
)
SMALLER_SUMS = _SCALE_INPUTS + _NEW_WEIGHTS
OTHER_WEIGHTS = (
    _CHANGE + '    if "kernel_initializer" in config:\n'
    '        config["kernel_initializer"] = "glorot_uniform"\n'
    "    return type(layer).from_config(config)\n\n" + _REBUILD
)

VANISHING_GRADIENT = Cause(
    code="vanishing-gradient",
    sentence=(
        "The gradient of `{variable}`, relative to its weights, is {ratio:.1e}; that of `{last_variable}` is "
        "{last_ratio:.1e}. {consequence}"
    ),
    cannot_know=("Whether the later layers learn enough by themselves for the gradient to come back.",),
    fix=(
        _CHANGE + '    if config.get("activation") in ("sigmoid", "tanh") and layer.name != {head!r}:\n'
        '        config["activation"] = "relu"\n'
        '    if "kernel_initializer" in config and layer.name != {head!r}:\n'
        '        config["kernel_initializer"] = "he_normal"\n'
        "    return type(layer).from_config(config)\n\n" + _REBUILD
    ),
)

EXPLODING_GRADIENT = Cause(
    code="exploding-gradient",
    sentence=(
        "At a rate of {rate:g}, the next step of SGD is {steps:.3g} times as long as the weights themselves (the "
        "gradient is {gradient:.3g}, largest in `{variable}`)."
    ),
    cannot_know=("Whether inputs, targets or weights are too large, or only the rate.",),
    fix=(
        "import keras\n"
        "\n"
        "settings = model.get_compile_config()\n"
        'settings["optimizer"]["config"]["clipnorm"] = 1.0  # and scale inputs and targets\n'
        "model = keras.models.clone_model(model)  # new weights\n"
        "model.compile_from_config(settings)\n"
    ),
)

TRAIN_AND_INFERENCE_DISAGREE = Cause(
    code="train-and-inference-disagree",
    sentence=(
        "The same samples have a loss of {loss_training:.4f} in training mode and {loss_inference:.4f} in inference "
        "mode, where guessing gives {chance_loss:.4f}{accuracies}: validation sees the second. {consequence}"
    ),
    cannot_know=(_SAMPLES,),
    fix=(
        _CHANGE + "    if isinstance(layer, keras.layers.BatchNormalization):\n"
        '        config["momentum"] = 0.8  # its averages follow the data within about 10 batches\n'
        "    return type(layer).from_config(config)\n\n" + _REBUILD
    ),
)

INITIAL_LOSS = Cause(
    code="initial-loss-far-above-chance",
    sentence=(
        "Before any training the loss is {loss_training:.4f}, where guessing gives {chance_loss:.4f}: the model is "
        "sure of wrong answers. Inputs that are not scaled, or large weights in the last layer."
    ),
    cannot_know=("Whether the first steps put it right: they often do.",),
    fix=_SCALE_INPUTS + _NEW_WEIGHTS,
)

DEAD_UNITS = Cause(
    code="dead-units",
    sentence=(
        "{num_dead} of {num_units} units of layer `{layer}` ({activation}) are 0 on all {num_samples} samples and "
        "have no gradient there. Healthy layers were seen with up to half of their units like that."
    ),
    cannot_know=(_SAMPLES, "Whether the units that are left are enough for this task."),
    fix=_ALIVE,
)

UNCONNECTED_WEIGHTS = Cause(
    code="unconnected-weights",
    sentence=(
        "{num_unconnected} of {num_variables} trainable variables have no connection to the loss, so training never "
        "changes them: {names}."
    ),
    cannot_know=("Whether it is meant so, as with an output that has no loss.",),
    fix=(
        "# Use them in `call`, or take them out. What cuts a gradient: `stop_gradient`, `argmax`, `round`, a cast to\n"
        "# integers, and anything computed in numpy.\n"
        "for variable in model.trainable_variables:\n"
        "    print(variable.path, tuple(variable.shape))\n"
    ),
)

CAUSES: tuple[Cause, ...] = (
    NON_FINITE,
    NO_TRAINABLE_WEIGHTS,
    LOSS_WITHOUT_SLOPE,
    LOSS_REWARDS_WRONG_ANSWERS,
    DROPOUT_LEAVES_NOTHING,
    SYMMETRIC_WEIGHTS,
    DEAD_LAYER,
    SATURATED_OUTPUT,
    SATURATED_LAYER,
    CONSTANT_OUTPUT,
    VANISHING_GRADIENT,
    EXPLODING_GRADIENT,
    TRAIN_AND_INFERENCE_DISAGREE,
    INITIAL_LOSS,
    DEAD_UNITS,
    UNCONNECTED_WEIGHTS,
)
