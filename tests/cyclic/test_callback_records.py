"""What `CyclicLR` records, logs and prints: the rate that was used, at the step that used it."""

import csv
import logging

import pytest
from any_keras import KERAS_2, disable_interactive_logging, keras
from cyclic.spelling import doubling_clr, fit, ran_out, rows, spelling_model, steps_used, trained_in_order

from keras_clr import CyclicLR


class TestHistory:
    """`clr.history`."""

    def test_steps_and_rates(self):
        """Steps count from 0, and entry k is the rate that batch k used."""
        clr = doubling_clr()
        fit(spelling_model(3), [clr], epochs=2)
        assert clr.history["step"] == [0, 1, 2, 3, 4, 5]
        assert clr.history["learning_rate"] == pytest.approx([1, 2, 4, 8, 16, 32])

    def test_older_names(self):
        """The names of the well-known callback lead to the same lists."""
        clr = doubling_clr()
        fit(spelling_model(3), [clr])
        assert clr.history["iterations"] is clr.history["step"]
        assert clr.history["lr"] is clr.history["learning_rate"]

    def test_empty_before_training(self):
        """Before training, nothing is recorded."""
        assert doubling_clr().history["step"] == []

    def test_goes_on_in_the_next_fit(self):
        """A second fit is appended."""
        clr, model = doubling_clr(), spelling_model(2)
        fit(model, [clr])
        fit(model, [clr])
        assert clr.history["step"] == [0, 1, 2, 3]

    def test_groups(self, backend):
        """With steps_per_execution, a group is one entry: its first batch's."""
        if backend == "torch":
            pytest.skip("Keras refuses steps_per_execution above 1 on torch")
        clr = doubling_clr()
        fit(spelling_model(5, steps_per_execution=2), [clr])
        assert clr.history["step"] == [0, 2, 4]

    @ran_out
    def test_without_announced_batches(self):
        """A batch that was announced but not there is not recorded."""
        clr = doubling_clr()
        fit(spelling_model(3), [clr], data=rows(3))
        assert clr.history["step"] == [0, 1, 2]

    def test_of_a_crashed_run(self):
        """What was recorded before a crash can be read after it."""

        class Crash(keras.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None):
                if batch == 1:
                    raise RuntimeError("boom")

        clr = doubling_clr()
        with pytest.raises(RuntimeError, match="boom"):
            fit(spelling_model(3), [clr, Crash()])
        assert clr.history["step"] == [0, 1]


class TestLogs:
    """The key `learning_rate` in the epoch's logs."""

    def test_history_of_keras(self):
        """`fit` returns the rate last used in every epoch, as plain floats."""
        logged = fit(spelling_model(3), [doubling_clr()], epochs=2).history["learning_rate"]
        assert logged == pytest.approx([4, 32])
        assert all(type(rate) is float for rate in logged)

    def test_csv_logger(self, tmp_path):
        """CSVLogger, listed after CyclicLR, writes the column."""
        path = tmp_path / "log.csv"
        fit(spelling_model(3), [doubling_clr(), keras.callbacks.CSVLogger(path)], epochs=2)
        with path.open(newline="") as file:
            assert [float(row["learning_rate"]) for row in csv.DictReader(file)] == pytest.approx([4, 32])

    @ran_out
    def test_tensorboard(self, tmp_path):
        """TensorBoard reads the optimizer: listed after CyclicLR, it finds the rate last used."""
        tf = pytest.importorskip("tensorflow", reason="Keras' TensorBoard callback needs tensorflow")
        pytest.importorskip("tensorboard", reason="Keras' TensorBoard callback needs tensorboard")
        from tensorflow.core.util import event_pb2

        callbacks = [doubling_clr(), keras.callbacks.TensorBoard(tmp_path, write_graph=False)]
        fit(spelling_model(3), callbacks, data=rows(3))
        (events,) = (tmp_path / "train").glob("events*")
        written = {}
        for record in tf.data.TFRecordDataset(str(events)):
            for value in event_pb2.Event.FromString(record.numpy()).summary.value:
                written[value.tag] = float(tf.make_ndarray(value.tensor))
        assert written["epoch_learning_rate"] == 4.0

    @ran_out
    def test_after_an_announced_batch(self):
        """The log is the rate last used, not the one of the batch that was not there; so is the optimizer's."""
        model = spelling_model(3)
        logged = fit(model, [doubling_clr()], data=rows(3)).history["learning_rate"]
        assert logged == pytest.approx([4])
        assert float(model.optimizer.learning_rate) == 4.0

    @ran_out
    def test_an_epoch_without_batches(self):
        """An epoch for which no data is left moves nothing and leaves the rate last used."""
        tf = pytest.importorskip("tensorflow", reason="tf.data needs tensorflow, on any backend")
        epochs_ended = []
        spec = (tf.TensorSpec((1, 3)), tf.TensorSpec((1, 1)))
        data = tf.data.Dataset.from_generator(lambda: iter(()) if epochs_ended else rows(3), output_signature=spec)
        last = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: epochs_ended.append(epoch))
        clr, model = doubling_clr(), spelling_model(3)
        logged = fit(model, [clr, last], epochs=3, data=data).history["learning_rate"]
        # Keras 2 ends the training there.
        assert logged == ([4.0, 4.0] if KERAS_2 else [4.0, 4.0, 4.0])
        assert clr.history["step"] == [0, 1, 2]
        assert float(model.optimizer.learning_rate) == 4.0
        fit(model, [clr])
        assert steps_used(model) == trained_in_order([0, 1, 2] * 2)


class TestVerbose:
    """verbose=1 prints in Keras' form."""

    def test_printed_once_an_epoch(self, capsys):
        """One line an epoch, with the 1-based epoch, the rate and the place in the cycle."""
        fit(spelling_model(3), [CyclicLR(0.1, 0.5, 2, verbose=1)], epochs=2)
        lines = [line for line in capsys.readouterr().out.splitlines() if line]
        assert lines == [
            "Epoch 1: CyclicLR starts at learning rate 0.1 (step 0, cycle 1).",
            "Epoch 2: CyclicLR starts at learning rate 0.3 (step 3, cycle 1).",
        ]

    def test_epochs_are_those_of_fit(self, capsys):
        """initial_epoch is respected in what is printed."""
        fit(spelling_model(3), [CyclicLR(0.1, 0.5, 2, verbose=1)], epochs=5, initial_epoch=4)
        assert "\nEpoch 5: CyclicLR starts" in capsys.readouterr().out

    def test_silent_by_default(self, capsys):
        """verbose=0 prints nothing."""
        fit(spelling_model(3), [CyclicLR(0.1, 0.5, 2)])
        assert capsys.readouterr().out == ""

    def test_without_interactive_logging(self, capsys, caplog):
        """keras.config.disable_interactive_logging() sends the line to the log."""
        disable_interactive_logging()
        with caplog.at_level(logging.INFO, logger="keras_clr"):
            fit(spelling_model(3), [CyclicLR(0.1, 0.5, 2, verbose=1)])
        assert capsys.readouterr().out == ""
        assert "Epoch 1: CyclicLR starts at learning rate 0.1 (step 0, cycle 1)." in caplog.messages

    @pytest.mark.keras3("gradient accumulation")
    def test_accumulation(self, capsys):
        """Under accumulation, the step is the update."""
        model = spelling_model(4, keras.optimizers.SGD(0.25, gradient_accumulation_steps=2))
        fit(model, [CyclicLR(0.1, 0.5, 2, verbose=1)], epochs=2)
        assert "Epoch 2: CyclicLR starts at learning rate 0.5 (step 2, cycle 1)." in capsys.readouterr().out
