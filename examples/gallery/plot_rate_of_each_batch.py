"""
What rate does each batch get?
==============================

See a cycle before you pay for a run, and see afterwards that it was the one.
"""

# %%
# ``simulate`` gives the rates of the first batches, ``plot`` draws them. Neither needs a model.

import keras
import matplotlib.pyplot as plt
import numpy as np

import keras_clr

print(keras_clr.CyclicLR(base_lr=0.001, max_lr=0.005, step_size=4).simulate(10))

# %%
# Four shapes, of 200 batches in half a cycle. In "triangular2" the amplitude halves with every cycle, in "exp_range" it
# shrinks with every batch, "cosine" rounds the corners, and ``step_size_down`` makes the fall longer than the rise.

shapes = {
    "triangular": {},
    "triangular2": {"mode": "triangular2"},
    "exp_range, gamma=0.998": {"mode": "exp_range", "gamma": 0.998},
    "cosine, slow fall": {"wave": "cosine", "step_size_down": 400},
}
figure, axes = plt.subplots(2, 2, figsize=(7, 5), sharex=True, sharey=True, layout="constrained")
for (name, arguments), ax in zip(shapes.items(), axes.flat, strict=True):
    keras_clr.CyclicLR(base_lr=0.001, max_lr=0.006, step_size=200, **arguments).plot(ax, num_steps=1600)
    ax.set_title(name)

# %%
# In training the record says which rate was *used*, batch by batch: ``lr(0)`` is ``base_lr``, and nothing is shifted by
# one. Here 5 epochs of 32 batches, half a cycle in two epochs.

rng = np.random.default_rng(0)
x = rng.normal(size=(1024, 4)).astype("float32")
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
model.compile(optimizer="sgd", loss="mse")
clr = keras_clr.CyclicLR(base_lr=0.001, max_lr=0.05, step_size=2, step_size_unit="epochs")
model.fit(x, x.sum(axis=1), epochs=5, verbose=0, callbacks=[clr])

figure, ax = plt.subplots(figsize=(7, 3), layout="constrained")
ax.plot(clr.history["step"], clr.history["learning_rate"], ".", markersize=3)
ax.set(xlabel="batch", ylabel="learning rate that was used")
for epoch in range(1, 5):
    ax.axvline(32 * epoch, color="0.8", linewidth=1)
print("highest rate in batch", int(np.argmax(clr.history["learning_rate"])))
