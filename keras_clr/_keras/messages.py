"""Messages in Keras' way: printed when interactive logging is on, logged otherwise."""

from __future__ import annotations

import logging
import sys

import keras


def print_message(message: str) -> None:
    """Prints `message` on a line of its own, or logs it if `keras.config` says so."""
    if keras.config.is_interactive_logging_enabled():
        sys.stdout.write(message + "\n")
        sys.stdout.flush()
    else:
        logging.getLogger("keras_clr").info(message.strip())
