"""What `CyclicLR` must not cost: new traces, new compilations, the state of JAX's trainer for every batch."""

import pytest
from any_keras import keras
from cyclic.spelling import doubling_clr, fit, mean_prediction, spelling_model

from keras_clr import CyclicLR


class TestCompilations:
    """Changing the rate does not make the backend compile again."""

    def test_no_tracing(self, backend):
        """A training step that was traced once is not traced again for CyclicLR, nor after it."""
        if backend == "torch":
            pytest.skip("torch does not trace: it calls the loss for every batch")
        traces = []

        def loss(y_true, y_pred):
            traces.append(1)
            return mean_prediction(y_true, y_pred)

        model = spelling_model(3)
        model.compile(keras.optimizers.SGD(0.25), loss=loss)
        fit(model)
        assert traces
        traces.clear()
        fit(model, [doubling_clr()], epochs=2)
        fit(model)
        assert traces == []

    def test_no_compilation_on_jax(self, backend, caplog):
        """A step that was compiled once is not compiled again for another kind of rate."""
        if backend != "jax":
            pytest.skip("it reads the log of JAX")
        import jax

        def compilations():
            caplog.clear()
            fit(model, [doubling_clr()], epochs=2)
            return [r.getMessage() for r in caplog.records if r.getMessage().startswith("Finished XLA compilation")]

        model = spelling_model(3)
        with jax.log_compiles():
            assert any("train_step" in message for message in compilations())
            assert compilations() == []

    def test_no_synchronization_on_jax(self, backend):
        """On JAX, the trainer's state is not put back into the variables for every batch: that is what costs."""
        if backend != "jax":
            pytest.skip("only JAX keeps the state apart")

        def real_syncs(num_batches):
            model = spelling_model(num_batches)
            syncs = []
            sync = model.jax_state_sync

            def counted():
                if not model._jax_state_synced:
                    syncs.append(1)
                sync()

            model.jax_state_sync = counted
            fit(model, [CyclicLR(step_size=10)], epochs=2)
            return len(syncs)

        assert real_syncs(12) == real_syncs(3)
