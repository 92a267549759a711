"""What was read inside a model: plain numbers, from which the checks judge."""

from __future__ import annotations

from dataclasses import dataclass

from keras_clr._keras.layer_outputs import OutputReading


@dataclass(frozen=True)
class LayerReading:
    """One call of one layer.

    Attributes:
        name: Its name.
        class_name: Its class.
        activation: Name of the activation that made its output, in lower case, or None.
        call: 0 for the first call in one pass, 1 for the second, ...
        trainable: False if it is frozen.
        training: Output in training mode, in which gradients are taken.
        inference: Output in inference mode.
        dropout: Share that a dropout layer drops; None for any other.
    """

    name: str
    class_name: str
    activation: str | None
    call: int
    trainable: bool
    training: OutputReading
    inference: OutputReading
    dropout: float | None = None


@dataclass(frozen=True)
class VariableReading:
    """One trainable variable.

    Attributes:
        name: Its path.
        position: Index in `LayersReading.layers` of the first call of its layer; None if that was not seen.
        shape: Its shape.
        norm: Euclidean norm.
        gradient_norm: Root mean square over the batches of the norm of the gradient; None if there is no connection
            to the loss, or no gradient could be taken.
        zero_gradient: True if the gradient is exactly 0 on every batch, or there is no connection.
        connected: False if the loss does not depend on it at all.
        same_units: True if all its units (last axis) are alike, and their gradients as well, on every batch.
        penalised: True if a regularizer adds to the loss what its size costs.
    """

    name: str
    position: int | None
    shape: tuple[int, ...]
    norm: float
    gradient_norm: float | None
    zero_gradient: bool
    connected: bool
    same_units: bool
    penalised: bool = False


@dataclass(frozen=True)
class LayersReading:
    """The inside of a model on a few samples.

    Attributes:
        num_samples: Samples that went through.
        layers: Calls of layers, in order of execution.
        variables: Trainable variables, those of the first layer first.
        bad_variables: Paths of all variables, trainable or not, that hold a NaN or an infinity.
        finite_inputs: False if there is a NaN or an infinity in the inputs.
        input_spread: Largest minus smallest value of an input over the samples; 0 if all samples are the same.
        loss_training: Loss in training mode, as a training step takes it; None if it could not be taken.
        loss_inference: The same in inference mode.
        accuracy_training: Share of right answers in training mode; None if there is not one class per sample.
        accuracy_inference: The same in inference mode.
        output_difference: Distance of the outputs in the two modes, relative to the outputs in inference mode.
        clipped_wrong: Samples whose true-class probability is below Keras' clip (1e-7); None without a
            cross-entropy of probabilities.
        clipped_right: Samples whose true-class probability is above 1 - 1e-7.
        clipped_gradient: True if samples that are clipped have a gradient all the same (a loss from logits has);
            None if there are none.
        gradients: True if gradients could be taken.
        scaled_loss: True if the optimizer scales the loss, so that a gradient may overflow without harm.
        sgd_rate: Learning rate of an SGD without clipping, whose first step is rate x gradient; else None.
        epsilon: What Adam and its kin add to the size of a gradient before they divide by it; None without.
        coasting: True if the optimizer may move weights that have no gradient: by momentum from earlier updates, weight
            decay, or averages that it puts in their place.
        updates: Updates of the weights so far.
        batchnorm_momentum: Largest momentum of a BatchNormalization that learns; None without.
        cannot_know: What could not be looked at, and why.
        penalty: What the regularizers of the weights add to the loss.
        flat_loss: True if the slope of the loss in the outputs is exactly 0, wherever they may be; None if that could
            not be asked.
        wrong_way: Share of the samples for which the loss falls if the answer of their class falls; None if there is
            not one class per sample.
        mask_value: Value of the inputs that a layer masks.
        mixing: How much the answers to samples depend on the others in their batch, in inference mode, by their size.
    """

    num_samples: int
    layers: tuple[LayerReading, ...]
    variables: tuple[VariableReading, ...]
    bad_variables: tuple[str, ...]
    finite_inputs: bool
    input_spread: float
    loss_training: float | None
    loss_inference: float | None
    accuracy_training: float | None
    accuracy_inference: float | None
    output_difference: float | None
    clipped_wrong: int | None
    clipped_right: int | None
    clipped_gradient: bool | None
    gradients: bool
    scaled_loss: bool
    sgd_rate: float | None
    epsilon: float | None
    coasting: bool
    updates: int
    batchnorm_momentum: float | None
    cannot_know: tuple[str, ...]
    penalty: float = 0.0
    flat_loss: bool | None = None
    wrong_way: float | None = None
    mask_value: float = 0.0
    mixing: float | None = None


@dataclass(frozen=True)
class BadOutputs:
    """Where NaN or infinity begins although all weights are numbers.

    Attributes:
        layer: Name of the first layer with such an output; None if there is none.
        masked: Samples all of whose steps are masked there.
        num_samples: Samples that were looked at.
        mask_value: Value of the inputs that a layer masks.
    """

    layer: str | None
    masked: int
    num_samples: int
    mask_value: float
