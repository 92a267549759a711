"""A gradient of 0 is not yet rest: what the optimizer does by itself afterwards."""

import keras
import pytest
from stuck.builders import FAR, balanced_data, classifier, run, verdicts

from keras_clr._keras.gradients import GradientProbe
from keras_clr._keras.tensors import to_numpy
from keras_clr.stuck.certificate import way_out
from keras_clr.stuck.detector import StuckDetector
from keras_clr.stuck.probe import Probe


def moving(optimizer, momentum):
    """A saturated model, long after its start, whose optimizer still moves the bias that saturates it."""
    model = classifier(optimizer=optimizer)
    optimizer.build(model.trainable_variables)
    optimizer._iterations.assign(10_000)
    slots = {variable.path.rpartition("/")[2]: variable for variable in optimizer.variables}
    name = next(name for name in slots if "momentum" in name and "bias" in name)
    slots[name].assign([momentum, 0.0, 0.0])
    velocity = next((name for name in slots if "velocity" in name and "bias" in name), None)
    if velocity:
        slots[velocity].assign([1.0, 1.0, 1.0])
    return model


@pytest.mark.parametrize(
    ("optimizer", "momentum", "obstacle"),
    [
        # Comes to rest at 300 - 9, and 16 times as far is 156: saturated all the way.
        (keras.optimizers.SGD(1e-3, momentum=0.9), -1.0, None),
        # At 300 - 360; at 300 - 495 after hundreds of steps; further into saturation.
        (keras.optimizers.SGD(1e-3, momentum=0.9), -40.0, "leads to weights where it is not 0"),
        (keras.optimizers.SGD(1e-3, momentum=0.99), -5.0, "leads to weights where it is not 0"),
        (keras.optimizers.SGD(1e-3, momentum=0.99), 5.0, None),
        (keras.optimizers.SGD(1e-3, momentum=0.9, gradient_accumulation_steps=2), -40.0, "leads to weights"),
        # Adam moves by the rate: 9 times 1, and 9 times 4, which 16 times as far is beyond 300.
        (keras.optimizers.Adam(1.0), 1.0, None),
        (keras.optimizers.Adam(4.0), 1.0, "leads to weights where it is not 0"),
        # The sign of a momentum that shrinks does not shrink.
        (keras.optimizers.Lion(1e-3), 1.0, "keeps moving the weights without a gradient"),
        (keras.optimizers.AdamW(1e-3), 0.0, "weight decay keeps moving the weights"),
        (keras.optimizers.Adam(1e-3, use_ema=True, ema_overwrite_frequency=50), 0.0, "averages of earlier weights"),
    ],
    ids=lambda value: f"{value.name}-{value.learning_rate}" if hasattr(value, "learning_rate") else None,
)
def test_the_way_of_the_momentum_is_looked_at(optimizer, momentum, obstacle):
    """Motion that leads out of saturation, or never ends, is seen beforehand; the model stays where it is."""
    optimizer = type(optimizer).from_config(optimizer.get_config())
    model = moving(optimizer, momentum)
    batches = Probe(*balanced_data(64)).batches(model, 32)
    before = [to_numpy(v).tobytes() for v in [*model.variables, *optimizer.variables]]
    gradient = GradientProbe.of(model).read(batches, num_draws=1)
    assert gradient.zero
    found = way_out(model, batches, gradient.zeros)
    assert (found is None) if obstacle is None else (obstacle in str(found))
    assert [to_numpy(v).tobytes() for v in [*model.variables, *optimizer.variables]] == before


def test_a_run_that_momentum_brings_back_is_not_frozen():
    """No gradient at six epoch ends in a row, and then it moves again: never called frozen."""
    model = moving(keras.optimizers.SGD(1e-3, momentum=0.97), -17.9)
    detector = StuckDetector(balanced_data(96), on_stuck="raise")
    losses = run(model, detector, balanced_data(96), epochs=8).history["loss"]
    assert losses[:6] == pytest.approx([8.059] * 6, abs=1e-3)
    assert losses[7] < 8.0
    assert float(to_numpy(model.get_layer("head").bias)[0]) < 0.1 * FAR


def test_weight_decay_that_does_not_lead_out_is_a_forecast():
    """AdamW at its default shrinks the weights by 4e-6 an update: frozen for as long as anybody asked for."""
    model = classifier(optimizer=keras.optimizers.AdamW(1e-3))
    detector = StuckDetector(balanced_data(96))
    with verdicts() as messages:
        run(model, detector, balanced_data(96), epochs=20)
    assert len(messages) == 1
    finding = detector.diagnosis_.findings[0]
    assert (finding.code, finding.confidence) == ("saturated-clipped-loss", "forecast")
    assert "Weight decay goes on, and does not lead out of it in the next 54 updates." in finding.sentence
    assert float(model.optimizer.weight_decay) == pytest.approx(0.004)


def test_weight_decay_that_leads_out_is_no_standstill():
    """The twin: a decay that halves the weights within an epoch brings them back, and the report says so."""
    model = classifier(optimizer=keras.optimizers.AdamW(1e-3, weight_decay=300.0))
    detector = StuckDetector(balanced_data(96))
    run(model, detector, balanced_data(96), epochs=4)
    assert detector.stuck_epoch_ is None
    losses = run(model, StuckDetector(), balanced_data(96), epochs=6).history["loss"]
    assert losses[-1] < 8.0


def test_the_diagnosis_says_what_still_moves():
    """Where the gradient is 0 and the weights may move all the same, the reason is in the report."""
    optimizer = keras.optimizers.Adam(1e-3, use_ema=True, ema_overwrite_frequency=50)
    detector = StuckDetector(balanced_data(96))
    run(classifier(optimizer=optimizer), detector, balanced_data(96))
    assert detector.stuck_epoch_ is None
    assert "averages of earlier weights in their place" in detector.diagnosis_.text().replace("\n    ", " ")


def without_slope(y_true, y_pred):
    """A loss whose gradient is exactly 0 in any arithmetic."""
    return keras.ops.mean(0.0 * (y_pred - y_true), axis=-1)


@pytest.mark.parametrize("clipped", [True, False])
def test_a_loss_scale_that_may_grow(clipped):
    """With loss scaling, 0 may be underflow: it counts only where the clip explains it. The scale stays as it was."""
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(1e-3), dynamic_growth_steps=5)
    # A loss without a slope has no gradient either, and no clip explains it.
    model = classifier(optimizer=optimizer, **({} if clipped else {"loss": without_slope}))
    detector = StuckDetector(balanced_data(96))
    with verdicts() as messages:
        run(model, detector, balanced_data(96))
    assert len(messages) == clipped
    assert any("by underflow" in note for note in detector.diagnosis_.cannot_know) != clipped
    # Six steps were trained; those that the detector tried must not have been counted.
    assert float(to_numpy(optimizer.dynamic_scale)) == 2 * optimizer.initial_scale
    assert int(to_numpy(optimizer.step_counter)) == 1
