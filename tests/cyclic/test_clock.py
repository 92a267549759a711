"""The clock, fed with the hooks that Keras was seen to call."""

import random

from keras_clr.cyclic.clock import StepClock


def epoch(clock, ends, num_batches=None, steps_per_execution=1, counted=None):
    """Runs one epoch of end hooks through the clock; the length that it found."""
    for batch in ends:
        clock.batch_ended(batch)
    return clock.end_epoch(num_batches=num_batches, steps_per_execution=steps_per_execution, counted=counted)


def test_plain_epochs():
    """Known length, one batch a step."""
    clock = StepClock()
    clock.start(0)
    assert [epoch(clock, range(10), num_batches=10) for _ in range(3)] == [10, 10, 10]
    assert clock.epoch_start == 30


def test_start():
    """A run that goes on starts from what was trained."""
    clock = StepClock()
    clock.start(24)
    epoch(clock, range(10), num_batches=10)
    assert clock.epoch_start == 34


def test_end_hooks_that_overstate():
    """Groups of four in ten batches end with hooks 3, 7 and 11: ten batches all the same."""
    clock = StepClock()
    assert epoch(clock, [3, 7, 11], num_batches=10, steps_per_execution=4) == 10


def test_unknown_length_in_groups():
    """Without a length, the optimizer's count says how short the last group was."""
    clock = StepClock()
    assert epoch(clock, [3, 7, 11], steps_per_execution=4, counted=10) == 10
    assert epoch(clock, [3, 7, 11], steps_per_execution=4, counted=12) == 12


def test_a_count_that_cannot_be():
    """A count that the hooks contradict (skipped updates, batches that were not there) is kept within them."""
    clock = StepClock()
    assert epoch(clock, [3, 7, 11], steps_per_execution=4, counted=5) == 9
    assert epoch(clock, [3, 7, 11], steps_per_execution=4, counted=13) == 12


def test_a_count_is_not_needed_without_groups():
    """One batch a step: the hooks know, whatever the optimizer counted."""
    clock = StepClock()
    assert epoch(clock, range(10), counted=11) == 10


def test_stopped_early():
    """An epoch that was stopped is as long as it got."""
    clock = StepClock()
    assert epoch(clock, range(4), num_batches=10) == 4


def test_no_batch_at_all():
    """An epoch without a batch moves nothing."""
    clock = StepClock()
    clock.start(7)
    assert epoch(clock, []) == 0
    assert clock.epoch_start == 7


def test_hooks_out_of_order():
    """Hooks that threads call out of order (a few at a time) give the same length."""
    clock = StepClock()
    batches = list(range(1000))
    shuffler = random.Random(0)
    for start in range(0, 1000, 16):
        window = batches[start : start + 16]
        shuffler.shuffle(window)
        batches[start : start + 16] = window
    assert epoch(clock, batches) == 1000
