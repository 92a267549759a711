"""Training on more than one device gives what training on one gives: callback, schedule, finder and detector."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_clr import CyclicLR

PROGRAM = Path(__file__).with_name("program.py")
STRATEGIES = {"tensorflow": "mirrored", "jax": "parallel"}

pytestmark = pytest.mark.skipif(
    keras.backend.backend() not in STRATEGIES, reason="Keras' fit trains on one device with torch"
)


def run(strategy):
    """What the program found, in a process of its own: devices are set up before anything else."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "ignore", str(PROGRAM), strategy]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def results():
    """On one device and on two."""
    return run("one"), run(STRATEGIES[keras.backend.backend()])


@pytest.mark.parametrize("kind", ["callback", "schedule"])
def test_every_replica_trains_with_the_rates_of_the_policy(kind, results):
    """After each epoch the weight is minus the sum of the rates, to the last bit the same on each device."""
    one, two = (result[kind] for result in results)
    rates = CyclicLR(base_lr=0.001, max_lr=0.01, step_size=5).simulate(12)
    sums = -np.cumsum(rates)[3::4]
    np.testing.assert_allclose(np.ravel(one), sums, rtol=1e-6)
    assert np.shape(two) == (3, 2, 1)
    assert [copies[0] for copies in two] == [copies[1] for copies in two] == [copies[0] for copies in one]


def test_the_finder_suggests_the_same_and_gives_every_copy_back(results):
    """Bit for bit on each device; the losses differ by the order in which they are added up."""
    one, two = results
    assert one["given back"]
    assert two["given back"]
    assert two["suggested"] == pytest.approx(one["suggested"], rel=1e-3)


@pytest.mark.parametrize("kind", ["learning", "dead"])
def test_the_detector_decides_once_and_the_same(kind, results):
    """One verdict and one warning, not one for each replica; a dead network is stopped in the same epoch."""
    one, two = (result[kind] for result in results)
    assert one == two
    wanted = {"learning": ("learning", 6, 0), "dead": ("frozen", 2, 1)}[kind]
    assert (two["state"], two["epochs"], two["warnings"]) == wanted
