"""
Callback or schedule?
=====================

``CyclicLR`` and ``CyclicSchedule`` compute the same rate. Here are both in the same training, and what each costs.
"""

# %%
# The same arguments, the same weights to begin with, the same order of the batches.

import time

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_clr

rng = np.random.default_rng(0)
x = rng.normal(size=(4096, 8)).astype("float32")
y = x @ rng.normal(size=(8, 1)).astype("float32")
cycle = {"base_lr": 0.001, "max_lr": 0.05, "step_size": 100}


def train(learning_rate, callbacks=(), epochs=4):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(learning_rate), loss="mse")
    model.fit(x, y, verbose=0, callbacks=[*callbacks])  # Compiles, and is not timed.
    begin = time.perf_counter()
    model.fit(x, y, epochs=epochs, verbose=0, callbacks=[*callbacks])
    return model, (time.perf_counter() - begin) / (epochs * 128) * 1e6


callback = keras_clr.CyclicLR(**cycle)
by_callback, _ = train(0.001, [callback])
schedule = keras_clr.CyclicSchedule(**cycle)
by_schedule, _ = train(schedule)
pairs = zip(by_callback.get_weights(), by_schedule.get_weights(), strict=True)
print("largest difference of a weight after 640 batches:", max(float(np.abs(a - b).max()) for a, b in pairs))

# %%
# What the callback recorded, and what the schedule says. The second ``fit`` goes on where the first one ended: k is the
# optimizer's count, so the line is that of one long training.

figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
steps = np.arange(640)
ax.plot(steps, schedule.simulate(640), color="0.8", linewidth=5, label="CyclicSchedule")
ax.plot(callback.history["step"], callback.history["learning_rate"], linewidth=1, label="CyclicLR, recorded")
ax.set(xlabel="batch", ylabel="learning rate")
_ = ax.legend()

# %%
# The cost of a batch, the best of three. This machine was busy with building these pages: the
# `table of the benchmark <../learning-rates.html#what-it-costs>`_ is the one to go by.

ways = {
    "constant rate": lambda: train(0.001),
    "CyclicLR": lambda: train(0.001, [keras_clr.CyclicLR(**cycle)]),
    "CyclicSchedule": lambda: train(keras_clr.CyclicSchedule(**cycle)),
}
for name, way in ways.items():
    print(f"{name:16}{min(way()[1] for _ in range(3)):8.0f} us a batch")
