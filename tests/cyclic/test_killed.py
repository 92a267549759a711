"""`CyclicLR` with `BackupAndRestore` in a process that is killed at a random batch and started again."""

import itertools
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cyclic import killed

# Kills in a series. `KERAS_CLR_KILLS=20` for more; each costs the start of a process.
KILLS = int(os.environ.get("KERAS_CLR_KILLS", "2"))


def start(folder, save_freq):
    """The process, whose lines can be read as they come."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), *sys.path])}
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", killed.__file__, str(folder), str(save_freq)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def lines(process):
    """Updates so far and the weight, after each batch."""
    for line in process.stdout:
        updates, weight = line.split()
        yield int(updates), float.fromhex(weight)


@pytest.mark.parametrize("save_freq", ["epoch", 3])
def test_after_each_kill_the_weights_go_on_as_if_nothing_had_been(save_freq, tmp_path):
    """After n updates the weight is, to the last bit, that of a process that was never killed."""
    draw = random.Random(f"{save_freq} {killed.keras.backend.backend()}")
    with start(tmp_path / "straight", save_freq) as process:
        straight = dict(lines(process))
    length = killed.EPOCHS * killed.NUM_BATCHES
    assert sorted(straight) == list(range(1, length + 1))

    kills, lives = 0, []
    while True:
        # Not every life gets beyond its backup: it is killed where the series is to go on for long enough.
        last = draw.randint(1, max(1, 2 * length // (KILLS + 1))) if kills < KILLS else None
        life = []
        with start(tmp_path / "killed", save_freq) as process:
            for seen in lines(process):
                life.append(seen)
                if len(life) == last:
                    process.send_signal(signal.SIGKILL)
                    break
            process.stdout.read()
        lives.append(life)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= min(KILLS, 1)
    saved_every = killed.NUM_BATCHES if save_freq == "epoch" else save_freq
    for earlier, life in itertools.pairwise(lives):
        # It goes on from the last backup, not from the start and not from the batch at which it was killed.
        begin = life[0][0] - 1
        assert earlier[-1][0] - begin <= saved_every + killed.NUM_BATCHES, (earlier, life)
    # Keras repeats the begun epoch from its first batch, where a backup was made within it: more updates in all.
    beyond = [(n, weight) for life in lives for n, weight in life if n > length]
    assert save_freq == 3 or not beyond
    assert all(weight == straight[n] for life in lives for n, weight in life if n <= length)
    assert lives[-1][-1][0] >= length
