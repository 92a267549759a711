"""
Is my training stuck?
=====================

A small copy of the `red and green pixel <../pixel-colour.html>`_: images with one coloured pixel, a network that ought
to tell its colour, and an accuracy that does not leave 0.5.
"""

# %%
# Grey images of 8 x 8 pixels with values of 0 to 255, one of them red or green.

import warnings

import keras
import numpy as np

import keras_clr

rng = np.random.default_rng(0)
y = rng.permutation(np.arange(512) % 2)
x = np.full((512, 8, 8, 3), 127.0, "float32")
rows, columns = rng.integers(0, 8, size=(2, 512))
x[np.arange(512), rows, columns] = np.where(y[:, None] == 1, [0.0, 255.0, 0.0], [255.0, 0.0, 0.0])


def build_model(*last):
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(16, activation="relu"), keras.layers.Dropout(0.4), keras.layers.Flatten()]
    return keras.Sequential([keras.Input((8, 8, 3)), *layers, *last])


model = build_model(keras.layers.Dense(2, activation="softmax"))
model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])

# %%
# **Before training**, ``diagnose`` looks at the head, the loss, the data and one pass.

for finding in keras_clr.diagnose(model, x, y).findings:
    print(f"{finding.code} ({finding.confidence}): {finding.sentence}\n")

# %%
# **In training**, ``StuckDetector`` watches. It calls a run frozen only if it can prove that the weights cannot move.

detector = keras_clr.StuckDetector((x, y), on_stuck="stop")
with warnings.catch_warnings():
    warnings.simplefilter("ignore", keras_clr.StuckTrainingWarning)  # It says what the report below says.
    history = model.fit(x, y, epochs=10, verbose=0, callbacks=[detector])
print("accuracy", [round(value, 3) for value in history.history["accuracy"]])

# %%
# The report, as a notebook shows it. ``detector.diagnosis_.to_html("report.html")`` writes the same page.

detector.diagnosis_

# %%
# **The change**: inputs from -1 to 1, and a loss that sees the logits.

x = x / 127.5 - 1.0
model = build_model(keras.layers.Dense(2))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(0.005), loss, metrics=["accuracy"])
detector = keras_clr.StuckDetector((x, y), on_stuck="stop")
model.fit(x, y, epochs=12, verbose=0, callbacks=[detector])
print(detector.diagnosis_.state.value)

# %%
# The same picture of the healthy run:

ax = detector.diagnosis_.plot()
