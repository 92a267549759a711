"""
How often does it fail, and did the fix help?
=============================================

One run says little where the outcome depends on the order of the samples. ``study`` trains many times.
"""

# %%
# The grey images of `Is my training stuck? <plot_is_it_stuck.html>`_ again, smaller, and with a rate at which it is a
# lottery.

import keras
import numpy as np

import keras_clr

rng = np.random.default_rng(0)
y = rng.permutation(np.arange(256) % 2)
x = np.full((256, 6, 6, 3), 12.5, "float32")
rows, columns = rng.integers(0, 6, size=(2, 256))
x[np.arange(256), rows, columns] = np.where(y[:, None] == 1, [0.0, 25.0, 0.0], [25.0, 0.0, 0.0])


def build(activation):
    layers = [keras.layers.Dense(16, activation="relu"), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((6, 6, 3)), *layers, keras.layers.Dense(2, activation=activation)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=activation is None)
    model.compile(keras.optimizers.Adam(0.007), loss, metrics=["accuracy"])
    return model


# %%
# Six runs, each with initial weights and an order of the images of its own; a frozen one is not continued. (Each run is
# compiled anew, in a process of its own, so a study takes a little longer than its trainings.)

fit = {"runs": 6, "vary": "both", "epochs": 5, "stop_frozen": True, "n_jobs": 1, "verbose": 0}
before = keras_clr.study(lambda: build("softmax"), x, y, **fit)
print(before)

# %%
# Every run's curve, stuck ones in red.

ax = before.plot()

# %%
# **The change**: the loss sees the logits. The interval is exact (Clopper and Pearson), the comparison Fisher's test;
# with six runs each, both say honestly how little that is.

after = keras_clr.study(lambda: build(None), x, y, **fit)
print(f"stuck before: {before.stuck_share}")
print(f"stuck after:  {after.stuck_share}")
print(after.compare(before))
