"""A training process that tells how far it is, to be killed and started again: `python killed.py FOLDER SAVE_FREQ`.

The model is one weight and its loss that weight: after n updates the weight is minus the sum of the rates that were
used. Each line on stdout is the number of updates so far and the weight, whose float32 is written with all its digits.
"""

import sys
import time

import numpy as np
from any_keras import keras, mean, to_numpy

from keras_clr import CyclicLR

NUM_BATCHES = 7
EPOCHS = 12


class Tell(keras.callbacks.Callback):
    """Writes where training stands, after every batch."""

    def on_train_batch_end(self, batch, logs=None):
        weight = float(self.model.get_weights()[0][0, 0])
        sys.stdout.write(f"{int(to_numpy(self.model.optimizer.iterations))} {weight.hex()}\n")
        sys.stdout.flush()
        time.sleep(0.01)  # Gives whoever kills it a choice of batches.


def prediction(y_true, y_pred):
    """A loss whose gradient with respect to the prediction is exactly 1."""
    return mean(y_pred, axis=-1)


def main(folder, save_freq):
    """Trains to the end, going on where the last process was killed."""
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name="sum")]
    )
    model.compile(keras.optimizers.SGD(0.25), prediction)
    save_freq = save_freq if save_freq == "epoch" else int(save_freq)
    callbacks = [
        CyclicLR(0.001, 0.01, step_size=11, mode="exp_range", gamma=0.99),
        keras.callbacks.BackupAndRestore(f"{folder}/backup", save_freq=save_freq),
        Tell(),
    ]
    x = np.ones((NUM_BATCHES, 1), "float32")
    model.fit(x, x, batch_size=1, epochs=EPOCHS, verbose=0, callbacks=callbacks)


if __name__ == "__main__":
    main(*sys.argv[1:])
