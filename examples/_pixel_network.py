"""The network and the sizes of `pixel_colour.py`.

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
from dataclasses import dataclass, replace

import keras
import numpy as np
from _pixel_images import PixelImages

# The question's own numbers.
BASE_LR = 0.000005
MAX_LR = 0.0003
STEP_SIZE = 200.0
INPUT_RANGE = 3.3


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


@dataclass(frozen=True)
class Network:
    """What a row may change in the question's network. As it stands: the network whose loss clips probabilities.

    Attributes:
        units: Of the last layer; there are two classes.
        logits: Whether the loss sees the logits; else it sees probabilities, clipped to [1e-7, 1 - 1e-7].
        centred: Whether pixel values come from -1 to 1; else from 0 to the setting's `input_range`.
        dropout: Share of the features that are dropped.
        augmentation: Whether images are turned by up to 11 degrees and zoomed by up to 10 % in training.
        convolutions: Layers `Conv2D(16, 3, relu)` in front.
        dense: Whether there is a `Dense(112, relu)` on each pixel, with dropout after it.
        pooling: Whether `GlobalMaxPooling2D` is in Flatten's place.
    """

    units: int = 3
    logits: bool = False
    centred: bool = False
    dropout: float = 0.4
    augmentation: bool = False
    convolutions: int = 0
    dense: bool = True
    pooling: bool = False

    def chunk(self, setting: Setting) -> int:
        """Images in memory at a time: what the setting says is for the 112 features of each pixel."""
        return setting.chunk if self.dense else setting.batch_size

    def build(self, setting: Setting, seed: int, first_rate: float) -> keras.Model:
        """The network, compiled with Adam. Its initial weights are up to `keras.utils.set_random_seed`."""
        layers = keras.layers
        # The images stay bytes until here.
        scale = (
            layers.Rescaling(1 / 127.5, offset=-1.0) if self.centred else layers.Rescaling(setting.input_range / 255)
        )
        stack = [keras.Input((setting.size, setting.size, 3), dtype="uint8"), scale]
        if self.augmentation:
            stack += [layers.RandomRotation(0.03, seed=seed), layers.RandomZoom(0.1, seed=seed)]
        stack += [layers.Conv2D(16, 3, activation="relu") for _ in range(self.convolutions)]
        if self.dense:
            # With a seed of its own, the masks depend on nothing but the model's state: the same in every run.
            stack += [layers.Dense(112, activation="relu"), layers.Dropout(self.dropout, seed=seed)]
        stack += [layers.GlobalMaxPooling2D() if self.pooling else layers.Flatten()]
        if self.logits:
            stack += [layers.Dense(self.units)]
        else:
            # A layer that makes a new tensor hides the logits from the loss on TensorFlow, too.
            stack += [layers.Dense(self.units, activation="softmax"), layers.Reshape((self.units,))]
        model = keras.Sequential(stack)
        accumulation = setting.batch_size // self.chunk(setting)
        model.compile(
            optimizer=keras.optimizers.Adam(
                first_rate, gradient_accumulation_steps=accumulation if accumulation > 1 else None
            ),
            loss=keras.losses.CategoricalCrossentropy(from_logits=self.logits),
            metrics=["accuracy"],
        )
        return model


def measure_logit_move(model: keras.Model, images: PixelImages, setting: Setting, chunk: int) -> float:
    """How far the first update moves a logit, measured: median over 8 images of the largest move. It trains `model`."""
    head = next(layer for layer in reversed(model.layers) if isinstance(layer, keras.layers.Dense))
    x, y = images.take(slice(setting.batch_size), head.units)
    features = keras.Model(model.inputs[0], head.input)

    def logits() -> np.ndarray:
        kernel, bias = head.get_weights()
        return keras.ops.convert_to_numpy(features(x[:8], training=False)) @ kernel + bias

    before = logits()
    for start in range(0, len(x), chunk):
        model.train_on_batch(x[start : start + chunk], y[start : start + chunk])
    return float(np.median(np.abs(logits() - before).max(axis=1)))
