"""What only some versions of Keras have or do."""

import pytest
from any_keras import FOUND, keras


def optimizer_class(name):
    """A class of `keras.optimizers`; where Keras has none of that name yet, the test is skipped."""
    found = getattr(keras.optimizers, name, None)
    if found is None:
        pytest.skip(f"{FOUND} has no {name}")
    return found


def set_random_seed(seed):
    """As in Keras from 3.13 on: 3.12 leaves the generator of unseeded `keras.random` alone once there is one."""
    from keras.src.backend.common import global_state

    keras.utils.set_random_seed(seed)
    global_state.set_global_attribute("global_seed_generator", None)
