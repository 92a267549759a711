"""
Which range should the rate cycle in?
=====================================

Measure it: ``find_lr`` trains for about a hundred batches with a rising rate, and gives the model back bit for bit.
"""

# %%
# Handwritten digits, a small network, and an optimizer at its default rate.

import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_clr

digits = load_digits()
x, x_test, y, y_test = train_test_split(
    (digits.data / 16).astype("float32"), digits.target, test_size=0.3, random_state=0, stratify=digits.target
)


def build_model(seed):
    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(), loss=loss, metrics=["accuracy"])
    return model


# %%
# The curve, the suggested rate, and an interval in which the suggestions of such sweeps lie. The interval says how
# repeatable the answer is, not how close it is to the best rate.

model = build_model(0)
curve = keras_clr.find_lr(model, x, y, verbose=0)
print(f"suggested rate {curve.suggest():.3g}, interval {curve.interval()[0]:.3g} to {curve.interval()[1]:.3g}")
print("bounds of a cycle {:.3g} and {:.3g}".format(*curve.suggest_bounds()))

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
_ = curve.plot(ax)

# %%
# Does it pay? Three ways to train for 6 epochs, three times each; the default rate gets the epochs on top that the
# finder's batches cost.

extra = int(np.ceil(len(curve.rates) / curve.updates_per_epoch))
scores = {"default rate": [], "suggested rate": [], "suggested cycle": []}
for seed in range(3):
    for way, accuracies in scores.items():
        model = build_model(seed)
        epochs, callbacks = 6, []
        if way == "default rate":
            epochs += extra
        elif way == "suggested rate":
            model.optimizer.learning_rate = curve.suggest()
        else:
            callbacks = [curve.cyclic_lr(epochs=2)]
        model.fit(x, y, epochs=epochs, callbacks=callbacks, verbose=0)
        accuracies.append(model.evaluate(x_test, y_test, verbose=0)[1])

print(f"{'':18}{'test accuracy: worst':>20}{'median':>9}{'best':>9}")
for way, accuracies in scores.items():
    print(f"{way:18}{min(accuracies):20.3f}{np.median(accuracies):9.3f}{max(accuracies):9.3f}")
