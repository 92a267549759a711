"""
What does a restart rescue?
===========================

Bad luck with the first weights, and nothing else: a deep network of narrow relu layers is often born dead. With
``on_stuck="restart"`` the detector draws new weights in the same ``fit``.
"""

# %%
# Eight hidden layers of three units; two clouds of points that any network ought to tell apart.

import warnings

import keras
import numpy as np

import keras_clr

rng = np.random.default_rng(0)
y = rng.permutation(np.arange(512) % 2)
x = (rng.normal(size=(512, 4)) + 2.0 * (2 * y - 1)[:, None]).astype("float32")


def train(seed):
    keras.utils.set_random_seed(seed)
    hidden = [keras.layers.Dense(3, activation="relu", kernel_initializer="he_normal") for _ in range(8)]
    model = keras.Sequential([keras.Input((4,)), *hidden, keras.layers.Dense(2, activation="softmax")])
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    detector = keras_clr.StuckDetector((x, y), on_stuck="restart", max_restarts=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", keras_clr.StuckTrainingWarning)
        history = model.fit(x, y, epochs=20, verbose=0, callbacks=[detector])
    return detector, history.history["accuracy"]


# %%
# Five first weights. Without restarts, the frozen ones would have stayed where they were: that is what frozen means.

runs = {seed: train(seed) for seed in range(5)}
print(f"{'seed':6}{'the first weights':>19}{'restarts':>10}{'in the end':>12}{'accuracy':>10}")
for seed, (detector, accuracies) in runs.items():
    first = detector.restarts_[0] if detector.restarts_ else detector.diagnosis_
    told = f"{first.state.value:>19}{len(detector.restarts_):10}{detector.diagnosis_.state.value:>12}"
    print(f"{seed:<6}{told}{accuracies[-1]:10.3f}")

# %%
# What led to the first restart. If a network dies with probability p, k restarts rescue it with probability 1 - p^k;
# where the cause is not luck (a head that does not fit its loss, say), they rescue nothing, and the report names it.

detector, _ = next((detector, _) for detector, _ in runs.values() if detector.restarts_)
print(detector.restarts_[0].summary())

# %%
# The same run after its restart:

ax = detector.diagnosis_.plot()
