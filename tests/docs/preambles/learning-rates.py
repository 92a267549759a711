"""An optimizer with a momentum that can be cycled."""

model.compile(optimizer=keras.optimizers.SGD(0.01, momentum=0.9), loss=loss, metrics=["accuracy"])  # noqa: F821
