"""Whatever way `fit` is called: the right answers are counted exactly, and the run itself is not another."""

import warnings

import keras
import numpy as np
import pytest
from stuck.builders import FAR, balanced_data, classifier, reset, run, verdicts

from keras_clr._errors import StuckTrainingWarning
from keras_clr._keras.tensors import to_numpy
from keras_clr.stuck.detector import StuckDetector
from keras_clr.stuck.diagnosis import State

BACKEND = keras.backend.backend()
EXECUTION = {
    "tensorflow": [{}, {"run_eagerly": True}, {"jit_compile": True}, {"steps_per_execution": 2}],
    "jax": [{}, {"steps_per_execution": 2}],
    "torch": [{}],
}[BACKEND]


class Batches(keras.utils.PyDataset):
    """The data in batches of 40, the last of which is smaller."""

    def __init__(self, x, y):
        super().__init__()
        self.x, self.y = x, y

    def __len__(self):
        return -(-len(self.x) // 40)

    def __getitem__(self, index):
        rows = slice(40 * index, 40 * index + 40)
        return self.x[rows], self.y[rows]


def as_arrays(x, y):
    return {"x": x, "y": y, "batch_size": 40}


def as_dataset(x, y):
    return {"x": Batches(x, y)}


def as_generator(x, y):
    """Batches for ever, of which an epoch takes three: its length is given, not known."""
    batches = Batches(x, y)

    def forever():
        while True:
            for index in range(3):
                yield batches[index]

    return {"x": forever(), "steps_per_epoch": 3, "shuffle": False}


def as_tf_data(x, y):
    """A dataset whose length nobody knows before it ends."""
    import tensorflow as tf

    return {"x": tf.data.Dataset.from_tensor_slices((x, y)).batch(40).filter(lambda *_: True), "shuffle": False}


VALIDATION = np.zeros((8, 4)), np.eye(3)[[0] * 8]
FEEDS = [
    (as_arrays, None),
    (as_arrays, VALIDATION),
    (as_dataset, VALIDATION),
    (as_generator, None),
    *([(as_tf_data, None), (as_tf_data, VALIDATION)] if BACKEND == "tensorflow" else []),
]


@pytest.mark.parametrize(("feed", "validation"), FEEDS)
def test_the_right_answers_of_training_are_counted(feed, validation):
    """Data of any kind, validated or not: 96 samples an epoch, 48 of them right, and the run is frozen."""
    data = balanced_data(96)
    detector = StuckDetector(data, on_stuck="stop")
    with verdicts() as messages:
        classifier().fit(**feed(*data), epochs=3, verbose=0, callbacks=[detector], validation_data=validation)
    evidence = detector.diagnosis_.evidence
    assert (evidence["training_accuracy"], evidence["num_samples"], evidence["samples_so_far"]) == (0.5, 96, 192)
    assert (len(messages), detector.stuck_epoch_) == (1, 1)


@pytest.mark.parametrize("execution", EXECUTION, ids=str)
def test_every_way_to_execute(execution):
    """Compiled, compiled further, or eager; one batch or several at a time: frozen, with all answers counted."""
    data = balanced_data(96)
    detector = StuckDetector(data, on_stuck="stop")
    with verdicts() as messages:
        run(classifier(**execution), detector, data)
    assert detector.diagnosis_.evidence["samples_so_far"] == 192
    assert (len(messages), detector.stuck_epoch_) == (1, 1)


def test_a_model_that_fit_builds():
    """A model without an input shape, built by `fit` itself, is watched like any other."""
    head = keras.layers.Dense(3, "softmax", bias_initializer=lambda shape, dtype=None: np.array([FAR, 0, 0], "float32"))
    model = keras.Sequential([head, keras.layers.Reshape((3,))])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    detector = StuckDetector(balanced_data(96))
    with verdicts() as messages:
        run(model, detector, balanced_data(96))
    assert len(messages) == 1
    assert detector.diagnosis_.findings[0].code == "saturated-clipped-loss"


def test_several_inputs_by_name():
    """Inputs in a dict, integers among them, go through the model as `fit` puts them."""
    x, y = balanced_data(96)
    parts = {"left": keras.Input((4,), name="left"), "right": keras.Input((1,), dtype="int32", name="right")}
    joined = keras.layers.Concatenate()([parts["left"], keras.layers.Embedding(3, 2)(parts["right"])[:, 0]])
    logits = keras.layers.Dense(3, "softmax", name="head")(joined)
    model = keras.Model(parts, keras.layers.Reshape((3,))(logits))
    model.get_layer("head").bias.assign([FAR, 0.0, 0.0])
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    data = {"left": x.astype("float64"), "right": np.arange(96).reshape(-1, 1) % 3}, y
    detector = StuckDetector(data)
    with verdicts() as messages:
        run(model, detector, data)
    assert len(messages) == 1
    assert detector.diagnosis_.cannot_know == ()


def test_the_run_is_the_same_with_and_without_a_detector():
    """Dropout, shuffle and optimizer go on as if nobody had looked, moving or frozen: equal to the last bit."""
    x, y = np.random.default_rng(3).normal(size=(64, 4)).astype("float32"), np.eye(3, dtype="float32")[[0, 1] * 32]
    extra = [keras.layers.Dropout(0.5), keras.layers.BatchNormalization()]
    model = classifier(extra=extra, optimizer=keras.optimizers.Adam(1e-3))
    # The first fit of a model builds its metrics, and may draw from the random state on the way.
    model.fit(x, y, batch_size=16, verbose=0, validation_split=0.25)
    initial = [(v, to_numpy(v).copy()) for v in [*model.variables, *model.optimizer.variables]]
    states = []
    for bias in ((0.0, 0.0, 0.0), (FAR, 0.0, 0.0)):
        results = []
        for callbacks in ([], [StuckDetector((x, y))]):
            reset(initial)
            model.get_layer("head").bias.assign(bias)
            keras.utils.set_random_seed(7)
            with verdicts():
                history = model.fit(
                    x, y, batch_size=16, epochs=3, verbose=0, callbacks=callbacks, validation_split=0.25
                )
            results.append((history.history, [to_numpy(v).tobytes() for v, _ in initial]))
        assert "probe_accuracy" in callbacks[0].diagnosis_.evidence  # it did look
        assert results[0] == results[1]
        states.append(callbacks[0].diagnosis_.state is State.FROZEN)
    assert states == [False, True]


def test_another_callback_that_evaluates():
    """What another callback has counted instead is not taken for training, and the report says so."""
    data, other = balanced_data(96), balanced_data(40, seed=5)
    model = classifier(bias=(1.0, 0.0, 0.0))
    evaluate = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: model.evaluate(*other, verbose=0))
    detector = StuckDetector(data)
    model.fit(*data, verbose=0, callbacks=[evaluate, detector])
    assert "training_accuracy" not in detector.diagnosis_.evidence
    assert any("Another callback changed the metrics" in note for note in detector.diagnosis_.cannot_know)
    # After the detector in the list, it does no harm.
    model.fit(*data, verbose=0, callbacks=[detector, evaluate])
    assert detector.diagnosis_.evidence["num_samples"] == 96


def test_two_modes_that_disagree_are_found_while_the_training_accuracy_is_high():
    """BatchNormalization whose averages have hardly moved: right in training, guessing on the probe."""
    x, y = balanced_data(256, labels="sparse")
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.BatchNormalization(momentum=0.999),
            keras.layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    detector = StuckDetector((x + 30.0, y))
    with verdicts():
        run(model, detector, (x + 30.0, y), epochs=4)
    assert detector.diagnosis_.state is State.LEARNING
    assert "train-and-inference-disagree" in [finding.code for finding in detector.diagnosis_.findings]


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights:UserWarning")
def test_a_model_with_nothing_to_train_is_told_before_the_first_epoch():
    """A certificate, without a pass through the model; and it stays in the report."""
    data = balanced_data(96)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax", trainable=False)])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    detector = StuckDetector(data)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(model, detector, data)
    told = [str(w.message) for w in caught if issubclass(w.category, StuckTrainingWarning)]
    assert len(told) == 1
    assert told[0].startswith("StuckDetector, before training: not trained yet (no-trainable-weights)")
    assert detector.diagnosis_.findings[0].code == "no-trainable-weights"
