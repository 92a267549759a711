"""Small models and data for studies. Importable in a worker."""

import os
import random
import signal
import time

import keras
import numpy as np

import keras_clr
from keras_clr.study.data import StudyData
from keras_clr.study.plan import plan_run
from keras_clr.study.training import Job, KerasSettings


def samples(count=96):
    """Points and on which side of a line they lie."""
    x = np.random.default_rng(0).normal(size=(count, 4)).astype("float32")
    return x, (x[:, 0] + x[:, 1] > 0).astype("int32")


def build_classifier(rate=0.01, seed=None):
    """A small network with dropout."""
    layers = [
        keras.Input((4,)),
        keras.layers.Dense(8, activation="relu", kernel_initializer=keras.initializers.GlorotUniform(seed)),
        keras.layers.Dropout(0.3, seed=seed),
        keras.layers.Dense(2),
    ]
    model = keras.Sequential(layers)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(rate), loss=loss, metrics=["accuracy"])
    return model


def build_seeded():
    """The same weights each time, by seeds of its own."""
    return build_classifier(seed=1)


def build_dead():
    """All its hidden units are dead, and no momentum can wake them: frozen."""
    model = build_classifier()
    model.layers[0].bias.assign(np.full(8, -100.0, "float32"))
    model.layers[0].kernel.assign(np.zeros((4, 8), "float32"))
    return model


def build_unstable():
    """Its loss is NaN at once."""
    return build_classifier(rate=float("nan"))


def cycling():
    """Callbacks with a state."""
    return [keras_clr.CyclicLR(1e-3, 1e-1, step_size=4)]


def job(build_model=build_classifier, vary="shuffle", x=None, y=None, callbacks=None, detector=None, **fit_arguments):
    """A job and its arrays."""
    if x is None:
        x, y = samples()
    data = StudyData.from_arguments(x, y, vary, fit_arguments)
    skeleton, arrays = data.detach()
    of_detector = detector or {"on_stuck": "warn"}
    return Job(build_model, skeleton, callbacks, fit_arguments, of_detector, KerasSettings.current()), arrays


def train(index, vary="shuffle", **arguments):
    """One run in this process."""
    made, arrays = job(vary=vary, **arguments)
    return made.train(arrays, plan_run(index, vary, 0))


def build_fatal():
    """Ends its process in run 1 of a study with vary="init", and in run 2 the one that started it."""
    state = random.getstate()
    if state == random.Random(plan_run(1, "init", 0).init_seed).getstate():
        os._exit(1)
    if state == random.Random(plan_run(2, "init", 0).init_seed).getstate():
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)
    return build_classifier()
