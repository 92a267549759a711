"""`CyclicLR` across the end of a process: crashes, `BackupAndRestore`, saved models and weights."""

import contextlib
import logging

import numpy as np
import pytest
from any_keras import KERAS_2, accumulating, keras
from cyclic.spelling import doubling_clr, fit, spelling_model, steps_used, trained_in_order

NUM_BATCHES = 4
EPOCHS = 3


class Crash(keras.callbacks.Callback):
    """Ends the run after some batches of the second epoch, as a power cut would."""

    def __init__(self, batch):
        super().__init__()
        self.at = batch
        self.epoch = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == (1, self.at):
            raise RuntimeError("power cut")


class Resumed(keras.callbacks.Callback):
    """Notes with how many batches behind it the run goes on. To be listed last."""

    trained = None

    def on_epoch_begin(self, epoch, logs=None):
        if self.trained is None:
            self.trained = int(self.model.optimizer.iterations)


@pytest.mark.parametrize("clr_first", [True, False])
@pytest.mark.parametrize("save_freq", ["epoch", 3])
def test_backup_and_restore(save_freq, clr_first, tmp_path):
    """After a crash in mid-epoch, the rates by number of updates are those of an undisturbed run, in either order."""

    def run(*others):
        callbacks = [doubling_clr(), keras.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=save_freq)]
        model = spelling_model(NUM_BATCHES)
        fit(model, [*(callbacks if clr_first else reversed(callbacks)), *others], epochs=EPOCHS)
        return model

    with pytest.raises(RuntimeError, match="power cut"):
        run(Crash(batch=3))
    resumed = Resumed()
    model = run(resumed)

    expected_start = NUM_BATCHES if save_freq == "epoch" else 2 * save_freq
    assert resumed.trained == expected_start
    before_the_crash = [k % NUM_BATCHES for k in range(resumed.trained)]
    # Keras 3 repeats the second epoch from its first batch; Keras 2 trains what is left of it, on data from the start.
    left = EPOCHS * NUM_BATCHES - expected_start if KERAS_2 else (EPOCHS - 1) * NUM_BATCHES
    after_it = [k % NUM_BATCHES for k in range(left)]
    assert steps_used(model) == trained_in_order(before_the_crash + after_it)


def test_backup_and_restore_in_the_same_process(tmp_path):
    """Model and callback survive the crash: the backup's count wins over what the callback remembers."""
    model, clr = spelling_model(NUM_BATCHES), doubling_clr()
    fit(model, [clr])  # The callback now remembers the end of a fit.
    with pytest.raises(RuntimeError, match="power cut"):
        fit(model, [clr, keras.callbacks.BackupAndRestore(tmp_path / "backup"), Crash(batch=2)], epochs=EPOCHS)
    fit(model, [clr, keras.callbacks.BackupAndRestore(tmp_path / "backup")], epochs=EPOCHS)
    assert steps_used(model) == trained_in_order(list(range(NUM_BATCHES)) * (1 + EPOCHS))


@pytest.mark.parametrize("accumulation", [None, pytest.param(2, marks=pytest.mark.keras3("gradient accumulation"))])
def test_saved_model(accumulation, tmp_path):
    """A model from a .keras file goes on with the next rate, with a callback that has never seen it."""
    model = spelling_model(NUM_BATCHES, keras.optimizers.SGD(0.25, **accumulating(accumulation)))
    fit(model, [doubling_clr()], epochs=2)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    fit(loaded, [doubling_clr()])
    order = list(range(NUM_BATCHES)) * 3
    used = steps_used(loaded, accumulation=accumulation or 1)
    assert used == trained_in_order(order, accumulation=accumulation or 1)


def test_model_saved_within_training(tmp_path):
    """ModelCheckpoint at the end of an epoch holds the rate and the position of that moment."""
    model = spelling_model(NUM_BATCHES)
    path = str(tmp_path / "{epoch}.keras")
    fit(model, [doubling_clr(), keras.callbacks.ModelCheckpoint(path)], epochs=2)
    loaded = keras.saving.load_model(path.format(epoch=1))
    assert float(loaded.optimizer.learning_rate) == 2.0 ** (NUM_BATCHES - 1)
    fit(loaded, [doubling_clr()])
    assert steps_used(loaded) == trained_in_order(list(range(NUM_BATCHES)) * 2)


def heavy_sgd():
    """SGD with variables that are made when it is built; the momentum is too small to change a rate."""
    return keras.optimizers.SGD(0.25, momentum=1e-9)


@pytest.mark.parametrize(
    ("optimizer", "build"),
    [
        pytest.param(keras.optimizers.SGD, False, marks=pytest.mark.keras3("an optimizer without slots")),
        (heavy_sgd, True),
    ],
)
def test_weights_file_goes_on(optimizer, build, tmp_path):
    """A weights file has the optimizer's count: loaded into one whose variables exist, the cycle goes on."""
    model = spelling_model(NUM_BATCHES, optimizer())
    fit(model, [doubling_clr()])
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = spelling_model(NUM_BATCHES, optimizer())
    if build:
        fresh.optimizer.build(fresh.trainable_variables)
    fresh.load_weights(tmp_path / "model.weights.h5")
    fit(fresh, [doubling_clr()])
    assert steps_used(fresh) == [[k, NUM_BATCHES + k] for k in range(NUM_BATCHES)]


def test_weights_file_without_the_optimizer(tmp_path, caplog):
    """Keras skips the optimizer, and says so, if its variables do not exist yet: the cycle starts at its beginning."""
    model = spelling_model(NUM_BATCHES, heavy_sgd())
    fit(model, [doubling_clr()])
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = spelling_model(NUM_BATCHES, heavy_sgd())
    message = "Skipping variable loading for optimizer"
    # Keras 2 says so in its log.
    says_so = contextlib.nullcontext() if KERAS_2 else pytest.warns(UserWarning, match=message)
    with says_so, caplog.at_level(logging.WARNING):
        fresh.load_weights(tmp_path / "model.weights.h5")
    assert not KERAS_2 or message in caplog.text
    fresh.get_layer("spelled").set_weights([np.zeros((NUM_BATCHES, 1))])
    fit(fresh, [doubling_clr()])
    assert steps_used(fresh) == [[k] for k in range(NUM_BATCHES)]
