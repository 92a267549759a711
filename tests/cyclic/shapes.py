"""One-cycle policies by all of their arguments at once."""

from keras_clr.cyclic import one_cycle


def one_cycle_policy(max_lr, total_steps, *, momentum_bounds=None, **shape):
    """The policy of what the front ends check and build in two steps."""
    return one_cycle.one_cycle_policy(one_cycle.one_cycle_shape(max_lr, **shape), total_steps, momentum_bounds)
