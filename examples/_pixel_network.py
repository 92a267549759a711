"""The images, the network and the sizes of `pixel_colour.py`.

How the small size follows from the full one. At 224 x 224, Flatten feeds 5,619,712 features into three logits. One
Adam step moves every weight by about the learning rate, and so a logit by about

    rate x (sum of the features)    where each feature is proportional to the inputs (ReLU; biases start at 0)

and that product decides whether a step can throw all images over the edge of the clipped loss. The small size keeps
what this rests on:

- The product. 8 x 8 pixels have 1/784 of the features, so inputs x rates must grow by 784 = 2.8 x 280. Most of it
  goes to the rates: larger inputs would spread the *initial* logits, too, and 16 apart they are clipped before
  training begins. The price: the first layer's weights move 280 times as far in a step.
- The share of the run that a cycle takes: `step_size` 200 of 94 batches an epoch becomes 200 x 19 / 94 of 19.
- 10 epochs, batches of 32, 3 training images to 1 for validation; 9 of them to a place (0.06 at full size), so that a
  run which learns at all gets nearly everything right.

`INPUT_RANGE` is the one number that is not in the question: what a pixel value of 255 was scaled to. It is chosen so
that the small size shows both outcomes. With it, 29 of 60 runs froze on TensorFlow (6 sets of initial weights, 4 to 6
of 10 in each); with 2.5 it was 24, with 3.0 30, with 3.6 39, with 4.0 47, with 5.0 53: no cliff nearby. See
`docs/pixel-colour.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from keras_clr._snapshot import Snapshot

# The question's own numbers.
BASE_LR = 0.000005
MAX_LR = 0.0003
STEP_SIZE = 200.0
INPUT_RANGE = 3.3

CLASSES = ("red", "green")
COLOURS = np.array([[255, 0, 0], [0, 255, 0]], np.uint8)
BACKGROUNDS = {"grey": 128, "white": 255, "black": 0, "noise": None}

VARIANTS = {
    "clipped": "the question's network; its loss sees probabilities, clipped to [1e-7, 1 - 1e-7]",
    "logits": "the same, but the loss sees the logits (no softmax, from_logits=True); nothing else changed",
    "fixed": "the loss sees the logits, inputs from -1 to 1, GlobalMaxPooling2D instead of Flatten",
}


@dataclass(frozen=True)
class Setting:
    """The numbers of one size.

    Attributes:
        size: Pixels on a side.
        training_images, validation_images: Images of both classes together.
        input_range: What the pixel value 255 is scaled to.
        rate_factor: Factor on the question's learning rates.
        step_size: Batches in half a cycle.
        chunk: Images in memory at a time; gradients add up to a batch of 32.
        probe_images: Images that the detector looks at.
    """

    name: str
    size: int
    training_images: int
    validation_images: int
    input_range: float
    rate_factor: float
    step_size: float
    chunk: int
    probe_images: int
    batch_size: int = 32
    epochs: int = 10

    @property
    def base_lr(self) -> float:
        """Lower bound of the learning rate."""
        return BASE_LR * self.rate_factor

    @property
    def max_lr(self) -> float:
        """Upper bound of the learning rate."""
        return MAX_LR * self.rate_factor

    @property
    def validation_chunk(self) -> int:
        """Images in memory at a time in validation: all of them where a training batch fits in whole."""
        return self.probe_images if self.chunk < self.batch_size else self.validation_images

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return math.ceil(self.training_images / self.batch_size)


# Two images at a time: the 5.6 million features of all 32, with what their gradients need, took 4.2 GB. The detector
# keeps the features of all its images for a moment, so it gets few.
FULL = Setting("full", 224, 3000, 1000, INPUT_RANGE, 1.0, STEP_SIZE, chunk=2, probe_images=8)


def derive(full: Setting, size: int, training_images: int, input_factor: float) -> Setting:
    """The smaller twin of `full`: see the module's text."""
    small = replace(full, name="quick", size=size, training_images=training_images)
    features = (full.size / size) ** 2
    return replace(
        small,
        validation_images=training_images // 3,
        input_range=full.input_range * input_factor,
        rate_factor=features / input_factor,
        step_size=STEP_SIZE * small.steps_per_epoch / full.steps_per_epoch,
        chunk=full.batch_size,
        probe_images=256,
    )


QUICK = derive(FULL, size=8, training_images=600, input_factor=2.8)


class PixelImages:
    """Images with one coloured pixel at a random place, as many red as green; made when asked for, as uint8."""

    def __init__(self, count: int, size: int, background: str, seed: Sequence[int]) -> None:
        self.size, self.background, self.seed = size, background, tuple(seed)
        rng = np.random.default_rng(self.seed)
        self.labels = rng.permutation(np.arange(count) % 2)
        self.rows, self.columns = rng.integers(0, size, (2, count))

    def __len__(self) -> int:
        return len(self.labels)

    def balanced(self, count: int) -> np.ndarray:
        """Indices of the first `count` images, as many of one class as of the other."""
        half = [np.flatnonzero(self.labels == label)[: count // 2] for label in (0, 1)]
        return np.sort(np.concatenate(half))

    def take(self, indices: Any) -> tuple[np.ndarray, np.ndarray]:
        """Images (n, size, size, 3) and their targets: one column of three for each class, as in the question."""
        indices = np.arange(len(self))[indices]
        shape = (len(indices), self.size, self.size, 3)
        level = BACKGROUNDS[self.background]
        if level is None:
            # Shades of grey: the one coloured pixel stays the only one.
            shades = [np.random.default_rng((*self.seed, i)).integers(0, 256, (*shape[1:3], 1)) for i in indices]
            pixels = np.broadcast_to(np.array(shades, np.uint8), shape).copy()
        else:
            pixels = np.full(shape, level, np.uint8)
        labels = self.labels[indices]
        pixels[np.arange(len(indices)), self.rows[indices], self.columns[indices]] = COLOURS[labels]
        return pixels, np.eye(3, dtype=np.float32)[labels]


class Batches(keras.utils.PyDataset):
    """The batches of an epoch; in a new order each epoch if there is a seed for it.

    What `fit(x, y, shuffle=True)` does, with two differences: the order is the same on every backend, and the images
    need not be in memory all at once.
    """

    def __init__(self, images: PixelImages, batch_size: int, order_seed: Sequence[int] | None = None) -> None:
        super().__init__()
        self._images, self._batch_size = images, batch_size
        self._order = np.arange(len(images))
        self._rng = None if order_seed is None else np.random.default_rng(tuple(order_seed))
        self.on_epoch_end()

    def __len__(self) -> int:
        return math.ceil(len(self._images) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        start = index * self._batch_size
        return self._images.take(self._order[start : start + self._batch_size])

    def on_epoch_end(self) -> None:
        """Draws the next epoch's order."""
        if self._rng is not None:
            self._order = self._rng.permutation(len(self._images))


def build_model(variant: str, setting: Setting, seed: int) -> keras.Model:
    """The variant's network, compiled. "clipped" and "logits" get the same initial weights from the same seed."""
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    fixed = variant == "fixed"
    stack = [
        keras.Input((setting.size, setting.size, 3), dtype="uint8"),
        # The images stay bytes until here.
        layers.Rescaling(1 / 127.5, offset=-1.0) if fixed else layers.Rescaling(setting.input_range / 255),
        layers.Dense(112, activation="relu"),
        # With a seed of its own, the masks depend on nothing but the restored state: the same in every run.
        layers.Dropout(0.4, seed=seed),
        layers.GlobalMaxPooling2D() if fixed else layers.Flatten(),
    ]
    if variant == "clipped":
        # A layer that makes a new tensor hides the logits from the loss on TensorFlow, too. See the module's text.
        stack += [layers.Dense(3, activation="softmax"), layers.Reshape((3,))]
    else:
        stack += [layers.Dense(3)]
    model = keras.Sequential(stack, name=variant)
    accumulation = setting.batch_size // setting.chunk
    model.compile(
        optimizer=keras.optimizers.Adam(
            setting.base_lr, gradient_accumulation_steps=accumulation if accumulation > 1 else None
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=variant != "clipped"),
        metrics=["accuracy"],
    )
    return model


def measure_logit_move(
    model: keras.Model, snapshot: Snapshot, images: PixelImages, setting: Setting, rate: float
) -> float:
    """How far the first update moves a logit at this rate, measured: median over 8 images of the largest move."""
    x, y = images.take(slice(setting.batch_size))
    head = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Dense))
    features = keras.Model(model.inputs[0], head.input)

    def logits() -> np.ndarray:
        kernel, bias = head.get_weights()
        return keras.ops.convert_to_numpy(features(x[:8], training=False)) @ kernel + bias

    before = logits()
    model.optimizer.learning_rate = rate
    for start in range(0, len(x), setting.chunk):
        model.train_on_batch(x[start : start + setting.chunk], y[start : start + setting.chunk])
    moves = np.abs(logits() - before).max(axis=1)
    snapshot.restore(model)
    return float(np.median(moves))
