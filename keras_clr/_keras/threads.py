"""One thread for the arithmetic of this process: the same sums in the same order, whatever machine it is."""

from __future__ import annotations

import contextlib
import logging

import keras


def use_one_thread() -> None:
    """Limits the backend to one thread; to be called before it computes.

    JAX reads `XLA_FLAGS` when it is imported, so there is nothing left to do here.

    Raises:
        RuntimeError: If TensorFlow has begun to compute with more threads.
    """
    if keras.backend.backend() == "tensorflow":
        # Every run traces a model of its own: nothing to warn of.
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    elif keras.backend.backend() == "torch":
        import torch

        torch.set_num_threads(1)
        with contextlib.suppress(RuntimeError):  # It has been set before, or operations ran; they do not use these.
            torch.set_num_interop_threads(1)
