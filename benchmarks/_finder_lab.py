"""Trains a Keras model at many rates side by side: JAX backend, Keras' own stateless calls, nothing re-created.

One compiled function per task and optimizer trains `CHUNK` updates on `LANES` rates times `SEEDS` initial weights and
ends with the held-out loss; every run of the benchmark, range tests included, is made of calls to it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import keras
import numpy as np

SEEDS = 3
LANES = 32
CHUNK = 25


def orders(num_rows: int, batch_size: int, num_steps: int, seed: int) -> np.ndarray:
    """Row numbers of the batches, shuffled anew each epoch as by `fit`: shape (num_steps, batch_size)."""
    rng = np.random.default_rng(seed)
    per_epoch = num_rows // batch_size
    epochs = -(-num_steps // per_epoch)
    rows = [rng.permutation(num_rows)[: per_epoch * batch_size].reshape(per_epoch, batch_size) for _ in range(epochs)]
    return np.concatenate(rows)[:num_steps].astype("int32")


class Lab:
    """One task with one optimizer."""

    def __init__(self, task, make_optimizer, models) -> None:
        self.task = task
        model = models[0]
        optimizer = make_optimizer()
        optimizer.build(model.trainable_variables)
        rate_at = [v is optimizer._learning_rate for v in optimizer.variables].index(True)
        ones = [
            (
                [keras.ops.convert_to_numpy(v) for v in m.trainable_variables],
                [keras.ops.convert_to_numpy(v) for v in m.non_trainable_variables],
                [keras.ops.convert_to_numpy(v) for v in optimizer.variables],
            )
            for m in models
        ]
        stacked = jax.tree.map(lambda *seeds: np.stack(seeds), *ones)
        self._start = jax.tree.map(lambda a: jnp.asarray(np.repeat(a[:, None], LANES, axis=1)), stacked)
        x, y = jnp.asarray(task.x), jnp.asarray(task.y)
        x_held, y_held = (jnp.asarray(a) for a in task.held_out)

        def loss_of(trainable, fixed, x, y, training):
            outputs, fixed = model.stateless_call(trainable, fixed, x, training=training)
            return jnp.mean(task.loss(y, outputs)), fixed

        def lane(state, rates, batches):
            def update(state, step):
                trainable, fixed, slots = state
                rate, rows = step
                slots = [*slots[:rate_at], rate, *slots[rate_at + 1 :]]
                value = jax.value_and_grad(loss_of, has_aux=True)
                (loss, fixed), gradients = value(trainable, fixed, x[rows], y[rows], True)
                trainable, slots = optimizer.stateless_apply(slots, gradients, trainable)
                return (trainable, fixed, slots), loss

            state, losses = jax.lax.scan(update, state, (rates, batches))
            return state, losses, loss_of(state[0], state[1], x_held, y_held, False)[0]

        if task.vectorise:
            lanes = jax.vmap(jax.vmap(lane, in_axes=(0, 0, None)))
            self._chunk = jax.jit(lanes)
        else:

            def lanes(states, rates, batches):
                flat = jax.tree.map(lambda a: a.reshape(SEEDS * LANES, *a.shape[2:]), (states, rates))
                every = jnp.repeat(batches, LANES, axis=0)
                done = jax.lax.map(lambda a: lane(*a), (*flat, every))
                return jax.tree.map(lambda a: a.reshape(SEEDS, LANES, *a.shape[1:]), done)

            self._chunk = jax.jit(lanes)

    def run(self, rates: np.ndarray, num_steps: int, order: int) -> tuple[np.ndarray, np.ndarray]:
        """Trains all lanes from the initial weights.

        Args:
            rates: Per lane, or per lane and step, or per seed, lane and step; padded to `LANES` here.
            num_steps: Updates, a multiple of `CHUNK`.
            order: Which shuffle of the data: 0 for a finder's steps, 1 for the training that follows.

        Returns:
            Training losses (SEEDS, lanes, num_steps) and held-out losses after each chunk (SEEDS, lanes, chunks).
        """
        rates = np.asarray(rates, "float32")
        if rates.ndim == 1:
            rates = np.broadcast_to(rates[:, None], (len(rates), num_steps))
        if rates.ndim == 2:
            rates = np.broadcast_to(rates, (SEEDS, *rates.shape))
        lanes = rates.shape[1]
        rates = np.concatenate([rates, np.repeat(rates[:, :1], LANES - lanes, axis=1)], axis=1)
        rows = np.stack(
            [orders(len(self.task.x), self.task.batch_size, num_steps, 100 * order + seed) for seed in range(SEEDS)]
        )
        state, losses, held = self._start, [], []
        for start in range(0, num_steps, CHUNK):
            part = slice(start, start + CHUNK)
            state, loss, now = self._chunk(state, rates[:, :, part], rows[:, part])
            losses.append(np.asarray(loss))
            held.append(np.asarray(now))
        return np.concatenate(losses, axis=2)[:, :lanes], np.stack(held, axis=2)[:, :lanes]


def models_of(task) -> list[keras.Model]:
    """A model per seed."""
    return [task.build(seed) for seed in range(SEEDS)]
