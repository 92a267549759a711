"""`diagnose`: what can be said about a model and its data before any training."""

from __future__ import annotations

from typing import Any

from keras_clr._errors import attempt
from keras_clr._keras.compiled import check_compiled
from keras_clr._samples import first_samples
from keras_clr.stuck.checks.data import check_order, check_repeats
from keras_clr.stuck.diagnosis import Diagnosis, State
from keras_clr.stuck.examination import examine_layers, examine_model, examine_step, find_targets, rank
from keras_clr.stuck.probe import Probe

# Of data that come in batches, so many samples are looked at.
_SAMPLES = 1024


def diagnose(model: Any, x: Any, y: Any = None) -> Diagnosis:
    """Says what is wrong between a model, its loss and its data, before any training.

    More than half of the programs that do not learn can be told from looking: an output layer that does not fit the
    loss, a loss that does not fit the labels, labels outside its range, inputs that are not numbers. The rest of what
    it looks at needs one forward and one backward pass on 32 samples: an error with which `fit` would stop, dead or
    saturated layers, gradients that vanish, a first loss far above that of guessing. Of data that come in batches, also
    whether the classes come in order, or the same batch comes again and again.

    The model, its optimizer, metrics and all random states stay as they are, to the bit; an unbuilt model is built on
    the first sample. A generator loses the batches that were looked at.

    Args:
        model: A compiled Keras model.
        x: Inputs as for `fit`: an array or a list or dict of arrays of n samples, or a `tf.data.Dataset`, `PyDataset`,
            torch `DataLoader` or generator of batches, of which the first 1024 samples are looked at.
        y: Labels, where `x` is made of arrays.

    Returns:
        A `Diagnosis` with state "not trained yet". Of its findings a "certificate" cannot work, a "forecast" is
        expected not to, and a "hint" is worth a look: healthy models have some.

    Raises:
        ValueError: If the model is not compiled, `x` and `y` are no arrays and `x` gives no batches (inputs, labels) of
            such, or there are not as many inputs as labels.

    Example:
    >>> import keras, numpy as np
    >>> x, y = np.random.default_rng(0).normal(size=(64, 2)), np.arange(64) % 2
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, activation="softmax")])
    >>> model.compile(loss="binary_crossentropy", metrics=["accuracy"])
    >>> diagnose(model, x, y).findings[0].code
    'softmax-over-one-unit'
    """
    check_compiled(model)
    samples = first_samples(x, y, _SAMPLES)
    probe = Probe(samples.inputs, samples.labels)
    if not probe.num_labels:
        return Diagnosis(State.NOT_TRAINED, tuple(examine_step(model, probe)), evidence={"num_labels": 0})
    if not model.built:
        model(probe.first_sample())
    examined, no_model = attempt(lambda: examine_model(model, probe))
    found, no_chance = attempt(lambda: find_targets(model, probe))
    targets, chance_loss = found or ([], None)
    refused = examine_step(model, probe)
    looked, no_layers = attempt(lambda: examine_layers(model, probe, before_training=True, chance_loss=chance_loss))
    in_layers, unseen = looked or ([], ())
    batches = []
    if samples.one_batch:
        batches = check_repeats(samples.num_batches, samples.batch_size or 0)
    elif probe.classes_in_order is not None and samples.batch_size is not None:
        batches = check_order(probe.classes_in_order, samples.batch_size)
    failures = {
        "Head, labels and inputs could not be checked": no_model,
        "The chance level of the labels cannot be known": no_chance,
        # If a step is refused, for the same reason.
        "The layers could not be looked at": None if refused else no_layers,
    }
    return Diagnosis(
        State.NOT_TRAINED,
        findings=rank([*(examined or ()), *refused, *batches, *in_layers], model),
        chance=targets[0].chance if len(targets) == 1 else None,
        evidence={"num_labels": probe.num_labels},
        cannot_know=(*(f"{what}: {error}" for what, error in failures.items() if error), *unseen),
    )
