"""Messages in Keras' way: printed when interactive logging is on, logged otherwise."""

from __future__ import annotations

import logging
import sys

from keras_clr._keras.api import KERAS_2, keras


def print_message(message: str) -> None:
    """Prints `message` on a line of its own, or logs it if Keras is set to do so."""
    # Keras 2 has no `keras.config`.
    config = keras.utils if KERAS_2 else keras.config
    if config.is_interactive_logging_enabled():
        sys.stdout.write(message + "\n")
        sys.stdout.flush()
    else:
        logging.getLogger("keras_clr").info(message.strip())
