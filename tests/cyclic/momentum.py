"""What optimizers with momentum do to weights whose gradients are known, computed by hand in float64.

The model is one Dense unit whose prediction is the loss: the gradient of its weights is the batch's one row.
"""

import numpy as np
from cyclic.spelling import fit, spelling_model

# Numbers of float32 in float64, which is what the formulas below compute in.
GRADIENTS = np.random.default_rng(7).normal(size=(12, 3)).astype("float32").astype("float64")


def train(optimizer, callbacks=(), epochs=1, gradients=GRADIENTS, model=None, **compile_arguments):
    """Trains a model of three weights from zero, one gradient a batch; returns it."""
    model = model or spelling_model(3, optimizer, **compile_arguments)
    data = {"x": gradients.astype("float32"), "y": np.zeros((len(gradients), 1), "float32")}
    fit(model, callbacks, epochs, data["x"], y=data["y"], batch_size=1)
    return model


def weights(model):
    """The three weights."""
    return model.get_layer("spelled").get_weights()[0][:, 0].astype("float64")


def sgd(gradients, rates, momenta, nesterov=False):
    """The weights after Keras' SGD: the rate goes into the velocity."""
    weight = velocity = np.zeros(3)
    for gradient, rate, momentum in zip(gradients, rates, momenta, strict=True):
        velocity = momentum * velocity - rate * gradient
        weight = weight + (momentum * velocity - rate * gradient if nesterov else velocity)
    return weight


def rmsprop(gradients, rates, momenta):
    """The weights after RMSprop with momentum."""
    weight = velocity = square = np.zeros(3)
    for gradient, rate, momentum in zip(gradients, rates, momenta, strict=True):
        square = 0.9 * square + 0.1 * gradient**2
        velocity = momentum * velocity + rate * gradient / np.sqrt(square + 1e-7)
        weight = weight - velocity
    return weight


def adam(gradients, rates, momenta, decay=0.0):
    """The weights after Adam (AdamW with `decay`): the bias is corrected by the power of the present beta_1."""
    weight = mean = square = np.zeros(3)
    for t, (gradient, rate, beta_1) in enumerate(zip(gradients, rates, momenta, strict=True), 1):
        weight = weight * (1 - decay * rate)
        mean = beta_1 * mean + (1 - beta_1) * gradient
        square = 0.999 * square + 0.001 * gradient**2
        rate = rate * np.sqrt(1 - 0.999**t) / (1 - beta_1**t)
        weight = weight - rate * mean / (np.sqrt(square) + 1e-7)
    return weight


def adamw(gradients, rates, momenta):
    """AdamW with its default decay."""
    return adam(gradients, rates, momenta, decay=0.004)


def nadam(gradients, rates, momenta):
    """The weights after Nadam: its product of past values takes each as it was."""
    weight = mean = square = np.zeros(3)
    product = 1.0
    for t, (gradient, rate, beta_1) in enumerate(zip(gradients, rates, momenta, strict=True), 1):
        now, after = (beta_1 * (1 - 0.5 * 0.96**step) for step in (t, t + 1))
        product *= now
        mean = beta_1 * mean + (1 - beta_1) * gradient
        square = 0.999 * square + 0.001 * gradient**2
        ahead = after * mean / (1 - product * after) + (1 - now) * gradient / (1 - product)
        weight = weight - rate * ahead / (np.sqrt(square / (1 - 0.999**t)) + 1e-7)
    return weight


def adamax(gradients, rates, momenta):
    """The weights after Adamax."""
    weight = mean = largest = np.zeros(3)
    for t, (gradient, rate, beta_1) in enumerate(zip(gradients, rates, momenta, strict=True), 1):
        mean = beta_1 * mean + (1 - beta_1) * gradient
        largest = np.maximum(0.999 * largest, np.abs(gradient))
        weight = weight - rate * mean / ((1 - beta_1**t) * (largest + 1e-7))
    return weight


def lion(gradients, rates, momenta):
    """The weights after Lion: beta_1 weighs the step, beta_2 the memory."""
    weight = mean = np.zeros(3)
    for gradient, rate, beta_1 in zip(gradients, rates, momenta, strict=True):
        weight = weight - rate * np.sign(beta_1 * mean + (1 - beta_1) * gradient)
        mean = 0.99 * mean + 0.01 * gradient
    return weight
