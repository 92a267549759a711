"""What `docs/migration.md` says, fed to both sides.

The old callback and TensorFlow Addons do not run under Keras 3: their formulas, as published, are written anew here.
Where TensorFlow Addons is installed, which takes Keras 2, its own schedules are asked as well.
PyTorch is compared live in `test_torch_oracle.py`, fastai's formula in `test_one_cycle.py`.
"""

import math
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from any_keras import keras
from cyclic.spelling import fit, spelling_model, updates

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


def addons_schedules(optimizers):
    """The schedules of TensorFlow Addons between the same bounds, each with the twin that the guide names."""
    bounds = {"initial_learning_rate": 0.001, "maximal_learning_rate": 0.006}
    return {
        "Triangular": (optimizers.TriangularCyclicalLearningRate(**bounds, step_size=20), {}),
        "Triangular2": (optimizers.Triangular2CyclicalLearningRate(**bounds, step_size=20), {"mode": "triangular2"}),
        "Exponential": (
            optimizers.ExponentialCyclicalLearningRate(**bounds, step_size=20, gamma=0.99),
            {"mode": "exp_range", "gamma": 0.99},
        ),
        "Exponential by cycle": (
            optimizers.ExponentialCyclicalLearningRate(**bounds, step_size=20, gamma=0.9, scale_mode="cycle"),
            {"scale_fn": shrinking},
        ),
        "Cyclical": (
            optimizers.CyclicalLearningRate(**bounds, step_size=20, scale_fn=shrinking),
            {"scale_fn": shrinking},
        ),
        "Cyclical by iteration": (
            optimizers.CyclicalLearningRate(**bounds, step_size=20, scale_fn=shrinking, scale_mode="iterations"),
            {"scale_fn": shrinking, "scale_mode": "iterations"},
        ),
    }


@pytest.fixture(scope="module")
def tfa_optimizers():
    """TensorFlow Addons, whose import says that it is no longer maintained."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        addons = pytest.importorskip("tensorflow_addons", reason="TensorFlow Addons is not installed: it takes Keras 2")
    return addons.optimizers


NAMES = ["Triangular", "Triangular2", "Exponential", "Exponential by cycle", "Cyclical", "Cyclical by iteration"]


@pytest.mark.parametrize("name", NAMES)
def test_addons_itself(name, tfa_optimizers):
    """Fed with the same numbers, each schedule of TensorFlow Addons and its twin make the same rates."""
    theirs, arguments = addons_schedules(tfa_optimizers)[name]
    ours = CyclicSchedule(**BOUNDS, step_size=20, **arguments)
    rates = [float(theirs(step)) for step in range(NUM_STEPS)]
    # Theirs finds its place in the cycle in float32: a few roundings of the number of half cycles.
    tolerance = 0.005 * NUM_STEPS / 20 * 2.0**-22
    np.testing.assert_allclose(ours.simulate(NUM_STEPS), rates, rtol=1e-6, atol=tolerance)
    np.testing.assert_allclose([float(ours(step)) for step in range(NUM_STEPS)], rates, rtol=1e-6, atol=tolerance)


@pytest.mark.parametrize("name", NAMES)
def test_addons_itself_in_training(name, tfa_optimizers):
    """In an optimizer, both train the same weights."""
    theirs, arguments = addons_schedules(tfa_optimizers)[name]
    if name in ("Exponential", "Cyclical by iteration"):
        # Theirs hands the optimizer's integer to a power of a float: nobody can have trained with it.
        with pytest.raises(TypeError, match="Cannot convert"):
            keras.optimizers.SGD(theirs)
        return
    trained = []
    for schedule in (theirs, CyclicSchedule(**BOUNDS, step_size=20, **arguments)):
        model = spelling_model(5, keras.optimizers.SGD(schedule))
        fit(model, epochs=10)
        trained.append(updates(model))
    assert trained[0] == pytest.approx(trained[1], rel=1e-5)


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


def test_the_guide_runs(monkeypatch):
    """Every Python block of the guide runs as it stands, with the Keras that is meant, and makes what it names."""
    monkeypatch.setitem(sys.modules, "keras", keras)
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
