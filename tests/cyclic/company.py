"""Who else has a say in the rate, and what this package says about it."""

import warnings

from any_keras import keras

from keras_clr._errors import KerasCLRWarning


def plateau(patience=1):
    """A ReduceLROnPlateau that halves the rate at the end of every epoch from the second on."""
    return keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=patience, min_delta=1e30)


def our_warnings(function):
    """What of this package's warnings `function` gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", KerasCLRWarning)
        function()
    return [str(w.message) for w in caught if issubclass(w.category, KerasCLRWarning)]
