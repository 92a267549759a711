"""Trains on several devices and writes what came out as JSON: `python program.py STRATEGY`.

STRATEGY is "one" (a single device), "mirrored" (TensorFlow, two logical CPUs) or "parallel" (JAX, two host devices).
"""

import contextlib
import json
import os
import sys
import warnings

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
NUM_BATCHES = 4
EPOCHS = 3


def scope(strategy):
    """Set up before anything else runs; returns the context in which models are made."""
    if strategy == "mirrored":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope
    if strategy == "parallel":
        os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
        import keras

        assert len(keras.distribution.list_devices()) == 2
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    return contextlib.nullcontext


def main(strategy):
    """Trains a few small models."""
    in_scope = scope(strategy)
    import keras
    import numpy as np

    import keras_clr

    def prediction(y_true, y_pred):
        return keras.ops.mean(y_pred, axis=-1)

    def copies(variable):
        """The variable's value on each device."""
        value = variable.value
        values = getattr(value, "values", None) or [shard.data for shard in getattr(value, "addressable_shards", ())]
        return [np.array(v).ravel().tolist() for v in values or [keras.ops.convert_to_numpy(value)]]

    def rates(rate, callbacks):
        """Minus the sum of the rates that were used, after each epoch, on each device."""
        with in_scope():
            model = keras.Sequential(
                [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
            )
            model.compile(keras.optimizers.SGD(rate), prediction)
        x = np.ones((8 * NUM_BATCHES, 1), "float32")
        sums = []
        note = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: sums.append(copies(model.trainable_variables[0]))
        )
        model.fit(x, x, batch_size=8, epochs=EPOCHS, verbose=0, callbacks=[*callbacks, note])
        return sums

    def classifier(dead=False):
        keras.utils.set_random_seed(0)
        with in_scope():
            hidden = keras.layers.Dense(8, activation="relu", bias_initializer=keras.initializers.Constant(-100 * dead))
            model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(2, activation="softmax")])
            model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    x = np.random.default_rng(0).normal(size=(128, 4)).astype("float32")
    y = (x[:, 0] > 0).astype(int)

    def watched(model):
        detector = keras_clr.StuckDetector((x, y), on_stuck="stop")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            history = model.fit(x, y, batch_size=32, epochs=6, verbose=0, shuffle=False, callbacks=[detector])
        own = [str(w.message) for w in caught if issubclass(w.category, keras_clr.StuckTrainingWarning)]
        return {
            "state": detector.diagnosis_.state.value,
            "codes": [finding.code for finding in detector.diagnosis_.findings],
            "epochs": len(history.history["loss"]),
            "warnings": len(own),
            "accuracy": detector.diagnosis_.evidence.get("training_accuracy"),
        }

    arguments = {"base_lr": 0.001, "max_lr": 0.01, "step_size": 5}
    result = {
        "callback": rates(0.25, [keras_clr.CyclicLR(**arguments)]),
        "schedule": rates(keras_clr.CyclicSchedule(**arguments), []),
    }
    model = classifier()
    before = [copies(v) for v in [*model.variables, *model.optimizer.variables]]
    curve = keras_clr.find_lr(model, x, y, batch_size=32, verbose=0)
    after = [copies(v) for v in [*model.variables, *model.optimizer.variables]]
    result |= {"given back": before == after, "suggested": curve.suggest()}
    result |= {"learning": watched(classifier()), "dead": watched(classifier(dead=True))}
    sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
