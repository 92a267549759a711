"""`CyclicLR` on every kind of data: known length, unknown length, and batches that are announced but not there."""

import numpy as np
import pytest
from any_keras import KERAS_2, PyDataset, keras
from cyclic.spelling import (
    doubling_clr,
    doubling_schedule,
    fit,
    ran_out,
    rows,
    spelling_model,
    steps_used,
    trained_in_order,
    unit_vectors,
    updates,
)

NUM_BATCHES = 5


def tf_dataset(kind):
    """A tf.data.Dataset of the five batches, and which of them it lets through."""
    tf = pytest.importorskip("tensorflow", reason="tf.data needs tensorflow, on any backend")
    known = tf.data.Dataset.from_tensor_slices(unit_vectors(NUM_BATCHES)).batch(1)
    if kind == "known":
        return known, [0, 1, 2, 3, 4]
    if kind == "unknown":
        return known.filter(lambda x, y: True), [0, 1, 2, 3, 4]
    if kind == "filtered":
        return known.filter(lambda x, y: x[0, 2] == 0), [0, 1, 3, 4]
    spec = (tf.TensorSpec((1, NUM_BATCHES)), tf.TensorSpec((1, 1)))
    return tf.data.Dataset.from_generator(lambda: rows(NUM_BATCHES), output_signature=spec), [0, 1, 2, 3, 4]


class Rows(PyDataset):
    """The five batches as a PyDataset."""

    def __init__(self):
        super().__init__()
        self.rows = list(rows(NUM_BATCHES))

    @property
    def num_batches(self):
        return len(self.rows)

    def __len__(self):  # Keras 2 asks so.
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class TestDatasets:
    """tf.data with and without a known length, over several epochs."""

    @ran_out
    @pytest.mark.parametrize("kind", ["known", "unknown", "filtered", "from_generator"])
    def test_every_batch_its_own_rate(self, kind):
        """Batch k uses lr(k), and what is recorded and logged is what was used: announced batches do not count."""
        data, order = tf_dataset(kind)
        model = spelling_model(NUM_BATCHES)
        clr = doubling_clr()
        logged = fit(model, [clr], epochs=3, data=data).history["learning_rate"]
        assert steps_used(model) == trained_in_order(order * 3, NUM_BATCHES)
        num_trained = 3 * len(order)
        assert clr.history["step"] == list(range(num_trained))
        assert clr.history["learning_rate"] == pytest.approx([2.0**k for k in range(num_trained)])
        assert logged == pytest.approx([2.0 ** (len(order) * epoch - 1) for epoch in (1, 2, 3)])
        assert float(model.optimizer.learning_rate) == 2.0 ** (num_trained - 1)

    @ran_out
    @pytest.mark.parametrize("steps_per_execution", [2, 4, 5, 7])
    @pytest.mark.parametrize("kind", ["known", "unknown", "filtered"])
    def test_steps_per_execution(self, kind, steps_per_execution, backend):
        """Groups of batches come out right however the data's length and the group's relate."""
        if backend == "torch":
            pytest.skip("Keras refuses steps_per_execution above 1 on torch")
        data, order = tf_dataset(kind)
        model = spelling_model(NUM_BATCHES, steps_per_execution=steps_per_execution)
        clr = doubling_clr()
        if KERAS_2 and kind != "known":
            with pytest.raises(ValueError, match="you must specify the number of steps to run"):
                fit(model, [clr], epochs=3, data=data)
            return
        fit(model, [clr], epochs=3, data=data)
        used = [[] for _ in range(NUM_BATCHES)]
        for epoch in range(3):
            for k, batch in enumerate(order):
                used[batch].append(epoch * len(order) + k - k % steps_per_execution)
        assert steps_used(model) == used
        assert clr.history["step"] == sorted({step for steps in used for step in steps})

    @ran_out
    @pytest.mark.parametrize("kind", ["unknown", "filtered"])
    def test_two_fits(self, kind):
        """The same callback goes on at the true count, though the optimizer may have counted batches that were not."""
        data, order = tf_dataset(kind)
        model = spelling_model(NUM_BATCHES)
        clr = doubling_clr()
        fit(model, [clr], epochs=2, data=data)
        fit(model, [clr], data=data)
        assert steps_used(model) == trained_in_order(order * 3, NUM_BATCHES)

    @ran_out
    @pytest.mark.keras3("gradient accumulation")
    def test_gradient_accumulation(self, backend):
        """Announced batches do not disturb the count of updates."""
        data, order = tf_dataset("filtered")
        optimizer = keras.optimizers.SGD(0.25, gradient_accumulation_steps=2)
        # Without XLA on TensorFlow, the optimizer counts the batch that is not there and pairs others than it should.
        model = spelling_model(NUM_BATCHES, optimizer, jit_compile=backend == "tensorflow")
        clr = doubling_clr()
        fit(model, [clr], epochs=2, data=data)
        assert steps_used(model, accumulation=2) == trained_in_order(order * 2, NUM_BATCHES, accumulation=2)
        assert clr.history["step"] == [0, 0, 1, 1, 2, 2, 3, 3]

    @ran_out
    def test_the_schedule_is_exact_where_the_optimizer_is(self, request, backend):
        """CyclicSchedule follows the optimizer's count: on TensorFlow, announced batches count there."""
        if backend == "tensorflow":
            reason = "In graph mode on TensorFlow, Keras' optimizer counts the batch that is not there"
            request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
        data, order = tf_dataset("unknown")
        model = spelling_model(NUM_BATCHES, keras.optimizers.SGD(doubling_schedule()))
        fit(model, epochs=2, data=data)
        assert steps_used(model) == trained_in_order(order * 2)

    @ran_out
    def test_the_schedule_is_exact_under_jit(self, backend):
        """With jit_compile=True, CyclicSchedule is exact for data of unknown length as well."""
        if backend == "torch":
            pytest.skip("torch.compile is slow, and eager torch is exact: see the test above")
        data, order = tf_dataset("unknown")
        model = spelling_model(NUM_BATCHES, keras.optimizers.SGD(doubling_schedule()), jit_compile=True)
        fit(model, epochs=2, data=data)
        assert steps_used(model) == trained_in_order(order * 2)


class TestPythonData:
    """PyDatasets and generators."""

    def test_py_dataset(self):
        """Batch k of a PyDataset uses lr(k)."""
        model = spelling_model(NUM_BATCHES)
        fit(model, [doubling_clr()], epochs=3, data=Rows())
        assert steps_used(model) == trained_in_order([0, 1, 2, 3, 4] * 3)

    @ran_out
    def test_generator_of_unknown_length(self):
        """A generator that ends within the run: no step is left out or used twice, however Keras goes on."""
        model = spelling_model(NUM_BATCHES)
        clr = doubling_clr()
        logged = fit(model, [clr], epochs=3, data=rows(NUM_BATCHES)).history["learning_rate"]
        used = steps_used(model)
        num_trained = sum(len(steps) for steps in used)
        assert [steps[0] for steps in used] == [0, 1, 2, 3, 4]
        assert sorted(step for steps in used for step in steps) == list(range(num_trained))
        assert clr.history["step"] == list(range(num_trained))
        assert logged[0] == pytest.approx(2.0**4)
        assert logged[-1] == pytest.approx(2.0 ** (num_trained - 1))

    def test_generator_with_steps_per_epoch(self):
        """An endless generator, cut into epochs by steps_per_epoch."""

        def endless():
            while True:
                yield from rows(NUM_BATCHES)

        model = spelling_model(NUM_BATCHES)
        fit(model, [doubling_clr()], epochs=3, data=endless(), steps_per_epoch=4)
        order = [k % NUM_BATCHES for k in range(12)]
        assert steps_used(model) == trained_in_order(order)

    @ran_out
    def test_steps_per_epoch_beyond_the_data(self):
        """Epochs that end within the data go on there until it is used up, and so does the cycle."""
        model = spelling_model(NUM_BATCHES)
        clr = doubling_clr()
        fit(model, [clr], epochs=3, steps_per_epoch=2)
        order = [0, 1, 2, 3, 4, 0] if KERAS_2 else [0, 1, 2, 3, 4]  # Keras 2 begins the data again.
        assert steps_used(model) == trained_in_order(order)
        assert clr.history["step"] == list(range(len(order)))

    def test_validation(self):
        """Validation batches are no steps, at every epoch or every second one."""
        x, y = unit_vectors(NUM_BATCHES)
        for validation_freq in (1, 2):
            model = spelling_model(NUM_BATCHES)
            validation = {"validation_data": (x, y), "validation_batch_size": 1, "validation_freq": validation_freq}
            fit(model, [doubling_clr()], epochs=3, **validation)
            assert steps_used(model) == trained_in_order([0, 1, 2, 3, 4] * 3)

    def test_a_last_batch_that_is_short(self):
        """An incomplete last batch is a step like any other."""
        model = spelling_model(NUM_BATCHES)
        clr = doubling_clr()
        fit(model, [clr], epochs=2, batch_size=2)
        assert clr.history["step"] == [0, 1, 2, 3, 4, 5]
        # The loss is a mean: in a batch of two, each row has half the gradient.
        assert updates(model) == pytest.approx([4.5, 4.5, 9, 9, 36])


def test_unit_vectors_are_what_the_tests_think():
    """The data of this file: batch k is the k-th unit vector."""
    assert np.concatenate([x for x, _ in rows(NUM_BATCHES)]).tolist() == np.eye(NUM_BATCHES).tolist()
