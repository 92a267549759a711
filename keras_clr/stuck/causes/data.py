"""Causes: the inputs and the labels themselves."""

from __future__ import annotations

from keras_clr.stuck.finding import Cause

_ALL_LABELS = "Whether labels that were not given look different."
_ALL_INPUTS = "Whether samples that were not given look different."
SHUFFLE = (
    "import numpy as np\n"
    "\n"
    "order = np.random.default_rng(0).permutation(len(x))\n"
    "x, y = x[order], y[order]  # and leave shuffle=True in `fit`; for tf.data: .shuffle(number of samples)\n"
)

NON_FINITE_INPUTS = Cause(
    code="non-finite-inputs",
    sentence=(
        "{num_bad} of {num_samples} samples have a NaN or an infinity in {input}: one of them in a batch, and loss and "
        "weights are NaN for good."
    ),
    cannot_know=("Whether a layer of the model takes them out.",),
    fix=(
        "import numpy as np\n"
        "\n"
        "bad = ~np.isfinite({variable}).reshape(len({variable}), -1).all(axis=1)\n"
        'print(bad.sum(), "samples, the first at", np.flatnonzero(bad)[:10])\n'
        "{variable} = np.nan_to_num({variable}, nan=0.0, posinf=0.0, neginf=0.0)  # or leave these samples out\n"
    ),
    explains=("non-finite-first-pass", "diverged", "fit-fails"),
)

NON_FINITE_LABELS = Cause(
    code="non-finite-labels",
    sentence=(
        "{num_bad} of {num_samples} samples of output `{output}` have a NaN or an infinity as label: one of them in a "
        "batch, and loss and weights are NaN for good."
    ),
    cannot_know=("Whether a loss of your own leaves them out.",),
    fix=("import numpy as np\n\ngood = np.isfinite(y).reshape(len(y), -1).all(axis=1)\nx, y = x[good], y[good]\n"),
    explains=("non-finite-first-pass", "diverged", "fit-fails"),
)

ALL_STEPS_MASKED = Cause(
    code="all-steps-masked",
    sentence=(
        "All steps of {num_masked} of {num_samples} samples are masked, and layer `{layer}` makes a NaN of that (an "
        "average over no steps is 0 / 0): one of them in a batch, and loss and weights are NaN for good."
    ),
    cannot_know=(_ALL_INPUTS,),
    fix=(
        "good = (x != {mask_value}).reshape(len(x), -1).any(axis=1)  # at least one step that is not masked\n"
        "x, y = x[good], y[good]\n"
    ),
    explains=("non-finite-first-pass", "diverged", "fit-fails"),
)

CONSTANT_INPUTS = Cause(
    code="constant-inputs",
    sentence="{what} the same for all {num_samples} samples: nothing in them tells one sample from another.",
    cannot_know=(_ALL_INPUTS,),
    fix=(
        "import keras\n"
        "import numpy as np\n"
        "\n"
        "for array in keras.tree.flatten(x):\n"
        '    print(array.shape, "features that change:", int((np.ptp(array, axis=0) > 0).sum()))\n'
        "# None? Look at the code that loads and scales them: a division of integers, the same file every time.\n"
    ),
    explains=("constant-output",),
)

CONSTANT_LABELS = Cause(
    code="constant-labels",
    sentence=("All {num_samples} labels of output `{output}` are {value}: there is nothing to learn but that answer."),
    cannot_know=(_ALL_LABELS,),
    fix=(
        "import numpy as np\n"
        "\n"
        "print(np.unique(y, axis=0, return_counts=True))\n"
        "# One value only? Look at the code that makes the labels: the wrong column, a comparison that never holds,\n"
        "# one folder for all classes.\n"
    ),
)

LABELS_OUTSIDE_RANGE = Cause(
    code="labels-outside-range",
    sentence="`{loss}` of output `{output}` is made for labels {wanted}, but they {are}. {consequence}",
    cannot_know=(_ALL_LABELS,),
    fix="{change}",
    explains=("fit-fails",),
)

LABELS_NOT_WHOLE_NUMBERS = Cause(
    code="labels-not-whole-numbers",
    sentence=(
        "`{loss}` of output `{output}` takes class numbers, but {share:.1%} of the labels are not whole numbers, as "
        "{value:.4g}: Keras cuts off what is behind the point."
    ),
    cannot_know=("Which class is meant.",),
    fix="{change}",
)

CLASSES_IN_ORDER = Cause(
    code="classes-in-order",
    sentence=(
        "The labels come in the order of their classes: within a batch of {batch_size}, {observed:.1%} of the pairs "
        "are of one class; shuffled, {expected:.1%} would be (at most one shuffle in {odds:,.0f} is that uneven). "
        "Without shuffling, each step forgets the classes that are not in its batch."
    ),
    cannot_know=("Whether the batches are shuffled after all: `fit` shuffles arrays, not generators or datasets.",),
    fix=SHUFFLE,
)

SAME_BATCH_AGAIN = Cause(
    code="same-batch-again",
    sentence=(
        "The first {num_batches} batches are the same to the last bit, {batch_size} samples: if there are others, they "
        "are never seen."
    ),
    cannot_know=("Whether it is meant so: all samples in one batch, again and again.", _ALL_INPUTS),
    fix=(
        "import numpy as np\n"
        "\n"
        "for number, batch in zip(range(3), x):  # of a PyDataset: x[0], x[1], x[2]\n"
        "    print(number, np.shape(batch[1]), float(np.mean(batch[0])))  # each batch another mean?\n"
        "# No? Use `index` in __getitem__; make the iterator once, before the loop that yields.\n"
    ),
)

CONTRADICTING_LABELS = Cause(
    code="contradicting-labels",
    sentence=(
        "{num_samples} samples are {num_distinct} different ones, and some that are the same have different labels: no "
        "model can be right on more than {best:.1%} of them (chance is {chance:.1%})."
    ),
    cannot_know=("Whether the labels are noisy, or the inputs have lost what tells these samples apart.",),
    fix=(
        "import numpy as np\n"
        "\n"
        "_, group = np.unique(x.reshape(len(x), -1), axis=0, return_inverse=True)\n"
        "for same in np.flatnonzero(np.bincount(group.ravel()) > 1)[:10]:\n"
        "    print(np.flatnonzero(group.ravel() == same)[:5], y[group.ravel() == same][:5].tolist())\n"
    ),
)

INPUT_SCALE = Cause(
    code="input-scale",
    sentence=(
        "{input} goes from {smallest:.4g} to {largest:.4g}; the root mean square of {where} is {rms:.4g}. The first "
        "sums are {times}, and a step of the optimizer moves them by as much {more}."
    ),
    cannot_know=("Whether this matters here: Adam, BatchNormalization and small weights can make up for it.",),
    fix="{change}",
)

TARGET_SCALE = Cause(
    code="target-scale",
    sentence=(
        "The targets of output `{output}` have mean {mean:.4g} and spread {spread:.4g}, the output starts near "
        "{start:.4g}: at Adam's default rate of 0.001, a bias needs {steps:,.0f} steps to get there."
    ),
    cannot_know=("How fast the other weights get there.",),
    fix=(
        "mean, spread = y.mean(axis=0), y.std(axis=0)\n"
        "y = (y - mean) / spread  # and model.predict(...) * spread + mean\n"
    ),
)

CLASS_IMBALANCE = Cause(
    code="class-imbalance",
    sentence=(
        "{chance:.1%} of {num_samples} labels of output `{output}` are of one class of {num_classes}: always answering "
        "that one has an accuracy of {chance:.4f}."
    ),
    cannot_know=("Whether the rarer classes matter to you.",),
    fix=(
        "import numpy as np\n"
        "\n"
        "classes = np.argmax(y, axis=-1) if np.ndim(y) > 1 and np.shape(y)[-1] > 1 else np.ravel(y).astype(int)\n"
        "counts = np.bincount(classes)\n"
        "class_weight = {{c: len(classes) / ((counts > 0).sum() * n) for c, n in enumerate(counts) if n}}\n"
        "# model.fit(x, y, class_weight=class_weight); judge by keras.metrics.AUC or the recall of each class.\n"
    ),
)

# Data that no head could learn from.
UNUSABLE = (
    NON_FINITE_INPUTS,
    NON_FINITE_LABELS,
    ALL_STEPS_MASKED,
    CONSTANT_INPUTS,
    CONSTANT_LABELS,
    LABELS_OUTSIDE_RANGE,
    LABELS_NOT_WHOLE_NUMBERS,
)

CAUSES = (
    SAME_BATCH_AGAIN,
    CLASSES_IN_ORDER,
    CONTRADICTING_LABELS,
    INPUT_SCALE,
    TARGET_SCALE,
    CLASS_IMBALANCE,
)
