"""Arguments that the policy refuses: out of range, of the wrong type, or without effect."""

import math
from types import MappingProxyType

import numpy as np
import pytest

from keras_clr._errors import KerasCLRWarning
from keras_clr.cyclic.arguments import cyclic_policy


def inverse(x):
    """A scale function that has no value at 0."""
    return 1 / x


class TestRefusals:
    """Bad arguments are refused by name, with what was received."""

    GOOD = MappingProxyType({"base_lr": 0.1, "max_lr": 1.0, "step_size": 10})

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"base_lr": -0.1}, r"`base_lr` must be >= 0\. Received: base_lr=-0\.1"),
            ({"base_lr": math.nan}, r"`base_lr` must be finite\. Received: base_lr=nan"),
            ({"base_lr": 2.0}, r"`max_lr` must be > 0 and not below `base_lr`\. Received: base_lr=2\.0, max_lr=1\.0"),
            ({"max_lr": math.inf}, r"`max_lr` must be finite\. Received: max_lr=inf"),
            ({"base_lr": 0.0, "max_lr": 0.0}, r"`max_lr` must be > 0"),
            ({"step_size": 0}, r"`step_size` must be between 1 and \d+ batches\. Received: step_size=0"),
            ({"step_size": -3}, r"`step_size` must be .*Received: step_size=-3"),
            ({"step_size": 0.5}, r"`step_size` must be .*Received: step_size=0\.5"),
            ({"step_size": 2**30}, r"`step_size` must be between 1 and \d+ batches\. Received: step_size=1073741824"),
            ({"step_size": math.nan}, r"`step_size` must be finite\. Received: step_size=nan"),
            ({"step_size_down": 0}, r"`step_size_down` must be .*Received: step_size_down=0"),
            ({"step_size_down": math.inf}, r"`step_size_down` must be finite"),
            ({"mode": "triangle"}, r"`mode` must be one of 'triangular', .*Received: mode='triangle'"),
            ({"mode": None}, r"`mode` must be one of .*Received: mode=None"),
            ({"wave": "sawtooth"}, r"`wave` must be one of 'linear', 'cosine'\. Received: wave='sawtooth'"),
            ({"scale_mode": "epochs"}, r"`scale_mode` must be one of 'cycle', 'iterations'\. Received"),
            ({"mode": "exp_range", "gamma": 1.2}, r"`gamma` must be in \(0, 1\]\. Received: gamma=1\.2"),
            ({"mode": "exp_range", "gamma": 0.0}, r"`gamma` must be in \(0, 1\]\. Received: gamma=0\.0"),
            ({"mode": "exp_range", "gamma": math.nan}, r"`gamma` must be finite"),
            (
                {"scale_fn": lambda x: math.inf},
                r"`scale_fn` must return .*number >= 0\. Received: scale_fn\(1\) = inf",
            ),
            (
                {"scale_fn": lambda x: None},
                r"`scale_fn` must return .*Received: scale_fn\(1\) = None",
            ),
            ({"scale_fn": math.log, "scale_mode": "iterations"}, r"`scale_fn` must return .*scale_fn\(0\) raised"),
            ({"scale_fn": lambda x: -x}, r"`scale_fn` must return .*Received: scale_fn\(1\) = -1"),
            ({"mode": np.array(["triangular"])}, r"`mode` must be one of .*Received: mode=array"),
            ({"scale_fn": inverse, "scale_mode": "iterations"}, r"`scale_fn` must return .*scale_fn\(0\) raised"),
        ],
    )
    def test_out_of_range(self, bad, message):
        """A value out of range names the argument and the value."""
        with pytest.raises(ValueError, match=message):
            cyclic_policy(**{**self.GOOD, **bad})

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"base_lr": "low"}, r"`base_lr` must be a number\. Received: base_lr='low'"),
            ({"max_lr": None}, r"`max_lr` must be a number\. Received: max_lr=None"),
            ({"step_size": [1]}, r"`step_size` must be a number\. Received: step_size=\[1\]"),
            ({"step_size_down": "half"}, r"`step_size_down` must be a number"),
            ({"gamma": None}, r"`gamma` must be a number\. Received: gamma=None"),
            ({"base_lr": "0.001"}, r"`base_lr` must be a number\. Received: base_lr='0\.001'"),
            ({"step_size": b"10"}, r"`step_size` must be a number\. Received: step_size=b'10'"),
            ({"scale_fn": lambda: 1}, r"`scale_fn` must be a function of one number\. Received: scale_fn\(1\) raised"),
            ({"scale_fn": 0.5}, r"`scale_fn` must be callable\. Received: scale_fn=0\.5"),
        ],
    )
    def test_wrong_type(self, bad, message):
        """A value of the wrong type names the argument and the value."""
        with pytest.raises(TypeError, match=message):
            cyclic_policy(**{**self.GOOD, **bad})

    @pytest.mark.parametrize(
        ("bad", "message"),
        [
            ({"gamma": 0.9}, r"`gamma` is only used by mode='exp_range'\. Received: gamma=0\.9, mode='triangular'"),
            ({"gamma": 0.9, "mode": "triangular2"}, r"`gamma` is only used by .*mode='triangular2'"),
            ({"scale_mode": "iterations"}, r"`scale_mode` is only used together with `scale_fn`"),
            ({"scale_mode": "iterations", "mode": "exp_range", "gamma": 0.9}, r"`scale_mode` is only used together"),
            ({"scale_fn": inverse, "mode": "triangular2"}, r"`mode` would be ignored, .*mode='triangular2'"),
            ({"scale_fn": inverse, "mode": "exp_range", "gamma": 0.9}, r"`mode` would be ignored"),
            ({"scale_fn": inverse, "gamma": 0.9}, r"`gamma` would be ignored, .*Received: gamma=0\.9"),
        ],
    )
    def test_ignored(self, bad, message):
        """An argument that would change nothing is an error that names it."""
        with pytest.raises(ValueError, match=message):
            cyclic_policy(**{**self.GOOD, **bad})

    def test_exp_range_that_never_shrinks(self):
        """exp_range with the default gamma is triangular in disguise: one warning says so."""
        with pytest.warns(KerasCLRWarning, match=r"gamma=1\.0 never shrinks"):
            policy = cyclic_policy(**self.GOOD, mode="exp_range")
        assert policy(10**6 + 10) == 1.0

    def test_equal_bounds_are_a_constant(self):
        """base_lr == max_lr is a constant rate, not an error."""
        policy = cyclic_policy(0.3, 0.3, 2)
        assert [policy(step) for step in range(5)] == [0.3] * 5
