"""What `docs/migration.md` says, fed to both sides.

The old callback and TensorFlow Addons do not run under Keras 3: their formulas, as published, are written anew here.
PyTorch is compared live in `test_torch_oracle.py`, fastai's formula in `test_one_cycle.py`.
"""

import math
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_clr
from keras_clr import CyclicLR, CyclicSchedule, OneCycleLR

GUIDE = Path(__file__).parents[2] / "docs" / "migration.md"
NUM_STEPS = 400
BOUNDS = {"base_lr": 0.001, "max_lr": 0.006}


def triangle(step, step_size):
    """Cycle and height, as both publish them."""
    cycle = math.floor(1 + step / (2 * step_size))
    return cycle, max(0.0, 1 - abs(step / step_size - 2 * cycle + 1))


def old_callback(step, base_lr, max_lr, step_size, mode="triangular", gamma=1.0, scale_fn=None, scale_mode="cycle"):
    """bckenstler/CLR: the mode chooses function and argument of the scale, unless there is a `scale_fn`."""
    if scale_fn is None:
        scale_fn, scale_mode = {
            "triangular": (lambda x: 1.0, "cycle"),
            "triangular2": (lambda x: 1 / 2.0 ** (x - 1), "cycle"),
            "exp_range": (lambda x: gamma**x, "iterations"),
        }[mode]
    cycle, height = triangle(step, step_size)
    return base_lr + (max_lr - base_lr) * height * scale_fn(cycle if scale_mode == "cycle" else step)


def addons(step, initial_learning_rate, maximal_learning_rate, step_size, scale_fn, scale_mode="cycle"):
    """CyclicalLearningRate of TensorFlow Addons, on which its three others rest."""
    cycle, height = triangle(step, step_size)
    scale = scale_fn(cycle if scale_mode == "cycle" else step)
    return initial_learning_rate + (maximal_learning_rate - initial_learning_rate) * height * scale


@keras.saving.register_keras_serializable(package="keras_clr_tests")
def shrinking(cycle):
    """A scale of one's own."""
    return 0.9**cycle


@pytest.mark.parametrize("step_size", [7, 20.0, 33.3])
@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"mode": "triangular2"},
        {"mode": "exp_range", "gamma": 0.99},
        {"scale_fn": lambda x: 0.5 * (1 + np.sin(x * np.pi / 2.0))},
        {"scale_fn": lambda x: 1 / (5 ** (x * 0.0001)), "scale_mode": "iterations"},
    ],
    ids=["triangular", "triangular2", "exp_range", "by cycle", "by iteration"],
)
def test_old_callback(step_size, arguments):
    """The arguments of the well-known callback, under their names and in their order, make its rates."""
    expected = [old_callback(step, **BOUNDS, step_size=step_size, **arguments) for step in range(NUM_STEPS)]
    np.testing.assert_allclose(CyclicLR(**BOUNDS, step_size=step_size, **arguments).simulate(NUM_STEPS), expected, 1e-9)
    positional = CyclicLR(0.001, 0.006, step_size, *arguments.values()) if "scale_fn" not in arguments else None
    if positional is not None:
        np.testing.assert_allclose(positional.simulate(NUM_STEPS), expected, 1e-9)


@pytest.mark.parametrize("step_size", [7, 20, 33])
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ({"scale_fn": lambda x: 1.0}, {}),
        ({"scale_fn": lambda x: 1 / 2.0 ** (x - 1)}, {"mode": "triangular2"}),
        ({"scale_fn": lambda x: 0.99**x, "scale_mode": "iterations"}, {"mode": "exp_range", "gamma": 0.99}),
        ({"scale_fn": lambda x: 0.9**x}, {"scale_fn": shrinking}),
    ],
    ids=["Triangular", "Triangular2", "Exponential", "Exponential by cycle"],
)
def test_addons(step_size, theirs, ours):
    """Each schedule of TensorFlow Addons has the twin that the guide names, also in the graph."""
    expected = [addons(step, 0.001, 0.006, step_size, **theirs) for step in range(NUM_STEPS)]
    schedule = CyclicSchedule(**BOUNDS, step_size=step_size, **ours)
    np.testing.assert_allclose(schedule.simulate(NUM_STEPS), expected, 1e-9)
    some = range(0, NUM_STEPS, 37)
    np.testing.assert_allclose([float(schedule(step)) for step in some], [expected[step] for step in some], 1e-5)


def test_torch_arguments():
    """PyTorch's CyclicLR has no argument that the guide does not mention, and its momentum those defaults."""
    torch = pytest.importorskip("torch", reason="torch is not installed: its signature is the oracle")
    import inspect

    guide = GUIDE.read_text()
    for scheduler in (torch.optim.lr_scheduler.CyclicLR, torch.optim.lr_scheduler.OneCycleLR):
        for name in list(inspect.signature(scheduler).parameters)[1:]:
            assert f"`{name}" in guide, name
    theirs = inspect.signature(torch.optim.lr_scheduler.CyclicLR).parameters
    assert (theirs["base_momentum"].default, theirs["max_momentum"].default) == (0.8, 0.9)
    theirs = inspect.signature(torch.optim.lr_scheduler.OneCycleLR).parameters
    defaults = OneCycleLR(1.0)._arguments
    for name in ("pct_start", "div_factor", "final_div_factor", "three_phase", "cycle_momentum", "base_momentum"):
        assert theirs[name].default == defaults[name]
    assert theirs["max_momentum"].default == defaults["max_momentum"]


def test_own_arguments():
    """The old callback's arguments come first and in its order."""
    import inspect

    names = ["base_lr", "max_lr", "step_size", "mode", "gamma", "scale_fn", "scale_mode"]
    parameters = list(inspect.signature(CyclicLR).parameters.values())
    assert [parameter.name for parameter in parameters[:7]] == names
    assert [parameter.default for parameter in parameters[:7]] == [0.001, 0.006, 2000, "triangular", 1.0, None, "cycle"]


def test_the_guide_runs():
    """Every Python block of the guide runs as it stands, and makes what it names."""
    blocks = GUIDE.read_text().split("```python\n")[1:]
    assert len(blocks) == 5
    made = []
    for block in blocks:
        names = {}
        exec(compile(block.split("```")[0], "migration.md", "exec"), names)
        made += [type(value).__name__ for value in names.values() if hasattr(value, "simulate")]
    classes = ["CyclicLR", "CyclicSchedule", "CyclicLR", "OneCycleLR", "OneCycleLR"]
    assert [name for name in made if name != "type"] == classes
    assert all(hasattr(keras_clr, name) for name in classes)
