"""`CyclicLR` on every kind of data: known length, unknown length, and batches that are announced but not there."""

import keras
import numpy as np
import pytest
from cyclic.spelling import (
    doubling_clr,
    doubling_schedule,
    fit,
    spelling_model,
    steps_used,
    trained_in_order,
    unit_vectors,
    updates,
)

from keras_clr import CyclicLR

# Keras gives it whenever data of unknown length ends, also where that is as it should be.
ran_out = pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")
NUM_BATCHES = 5


def rows():
    """The five batches, one unit vector each."""
    x, y = unit_vectors(NUM_BATCHES)
    for k in range(NUM_BATCHES):
        yield x[k : k + 1], y[k : k + 1]


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
    return tf.data.Dataset.from_generator(rows, output_signature=spec), [0, 1, 2, 3, 4]


class Rows(keras.utils.PyDataset):
    """The five batches as a PyDataset."""

    def __init__(self):
        super().__init__()
        self.rows = list(rows())

    @property
    def num_batches(self):
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
            pytest.skip("torch.compile takes long, and eager torch is exact: see the test above")
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
        logged = fit(model, [clr], epochs=3, data=rows()).history["learning_rate"]
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
                yield from rows()

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
        assert steps_used(model) == trained_in_order([0, 1, 2, 3, 4])
        assert clr.history["step"] == [0, 1, 2, 3, 4]

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


class TestLengthsInEpochs:
    """step_size_unit="epochs"."""

    @staticmethod
    def clr(step_size, **arguments):
        return CyclicLR(1.0, 3.0, step_size, step_size_unit="epochs", **arguments)

    def test_whole_epochs(self):
        """A step_size of one epoch of four batches climbs in four batches."""
        model = spelling_model(4)
        clr = self.clr(1)
        fit(model, [clr], epochs=2)
        assert clr.history["learning_rate"] == [1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5]
        assert updates(model) == pytest.approx([4, 4, 4, 4])

    def test_fractions_of_an_epoch(self):
        """Half an epoch of five batches is two and a half batches: five are a whole cycle."""
        model = spelling_model(5)
        clr = self.clr(0.5)
        fit(model, [clr], epochs=2)
        assert clr.policy.period == 5
        assert updates(model) == pytest.approx([2 * clr.policy(k) for k in range(5)], rel=1e-6)

    def test_a_fall_of_another_length(self):
        """step_size_down is in the same unit."""
        clr = self.clr(0.5, step_size_down=1.5)
        fit(spelling_model(4), [clr])
        assert (clr.policy.step_size_up, clr.policy.step_size_down) == (2, 6)

    def test_with_accumulation(self):
        """An epoch is counted in updates: four batches, two of them an update, are two."""
        model = spelling_model(4, keras.optimizers.SGD(0.25, gradient_accumulation_steps=2))
        clr = self.clr(1)
        fit(model, [clr], epochs=2)
        assert clr.policy.step_size_up == 2
        assert updates(model) * 2 == pytest.approx([1 + 3, 1 + 3, 2 + 2, 2 + 2])

    def test_with_steps_per_epoch(self):
        """steps_per_epoch makes data of unknown length known."""

        def endless():
            while True:
                yield from rows()

        clr = self.clr(1)
        fit(spelling_model(NUM_BATCHES), [clr], data=endless(), steps_per_epoch=3)
        assert clr.policy.step_size_up == 3

    def test_other_data_in_the_next_fit(self):
        """The length is resolved anew for every fit."""
        model = spelling_model(4)
        clr = self.clr(1)
        fit(model, [clr])
        fit(model, [clr], batch_size=2)
        assert clr.policy.step_size_up == 2

    def test_unknown_length(self):
        """Data that does not say its length is an error with the way out, before anything is touched."""
        model = spelling_model(NUM_BATCHES)
        with pytest.raises(ValueError, match=r"step_size_unit='epochs' needs data of known length.*`steps_per_epoch`"):
            fit(model, [self.clr(1)], data=rows())
        assert updates(model).tolist() == [0] * NUM_BATCHES
        assert float(model.optimizer.learning_rate) == 0.25

    def test_unknown_length_leaves_the_train_function(self):
        """That error leaves no trace in the model."""
        model = spelling_model(NUM_BATCHES)
        model.make_train_function()
        before = model.train_function
        with pytest.raises(ValueError, match="needs data of known length"):
            fit(model, [self.clr(1)], data=rows())
        assert model.train_function is before

    def test_less_than_a_batch(self):
        """A rise shorter than one batch is an error when training starts, before anything is touched."""
        model = spelling_model(5)
        with pytest.raises(ValueError, match=r"`step_size` must be between 1 .*step_size=0\.1 with 5 batches in one"):
            fit(model, [self.clr(0.1)])
        assert updates(model).tolist() == [0] * 5
        assert float(model.optimizer.learning_rate) == 0.25

    def test_not_known_yet(self):
        """Before training, `policy`, `simulate` and `plot` say why they cannot answer and what to do."""
        clr = self.clr(1)
        for ask in (lambda: clr.policy, lambda: clr.simulate(3), clr.plot):
            with pytest.raises(ValueError, match=r"only known when training starts.*`step_size` in batches"):
                ask()

    def test_bad_arguments_are_found_at_once(self):
        """The constructor does not wait for training to refuse what can never be right."""
        with pytest.raises(ValueError, match=r"`step_size` must be .*step_size=-1"):
            self.clr(-1)
        with pytest.raises(ValueError, match=r"`step_size_unit` must be one of 'batches', 'epochs'\. Rec.*='steps'"):
            CyclicLR(step_size_unit="steps")


def test_unit_vectors_are_what_the_tests_think():
    """The data of this file: batch k is the k-th unit vector."""
    assert np.concatenate([x for x, _ in rows()]).tolist() == np.eye(NUM_BATCHES).tolist()
