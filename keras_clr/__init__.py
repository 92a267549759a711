"""Cyclical learning rates for Keras, and a detector for training that is frozen at chance."""

from typing import TYPE_CHECKING, Any

from keras_clr._errors import KerasCLRWarning, StuckTrainingError, StuckTrainingWarning
from keras_clr._keras.api import KERAS_2, keras_3_only
from keras_clr.cyclic.callback import CyclicLR
from keras_clr.cyclic.one_cycle_callback import OneCycleLR
from keras_clr.cyclic.one_cycle_schedule import OneCycleSchedule
from keras_clr.cyclic.schedule import CyclicSchedule

if TYPE_CHECKING or not KERAS_2:
    from keras_clr.finder.curve import LRCurve
    from keras_clr.finder.sweep import find_lr
    from keras_clr.stuck.detector import StuckDetector
    from keras_clr.stuck.diagnose import diagnose
    from keras_clr.stuck.diagnosis import Diagnosis
    from keras_clr.stuck.finding import Finding
    from keras_clr.study.result import Study
    from keras_clr.study.study import study

__version__ = "0.1.0"

__all__ = [
    "CyclicLR",
    "CyclicSchedule",
    "Diagnosis",
    "Finding",
    "KerasCLRWarning",
    "LRCurve",
    "OneCycleLR",
    "OneCycleSchedule",
    "StuckDetector",
    "StuckTrainingError",
    "StuckTrainingWarning",
    "Study",
    "diagnose",
    "find_lr",
    "study",
]

if KERAS_2:
    _KERAS_3_ONLY = [name for name in __all__ if name not in globals()]
    __all__ = [name for name in __all__ if name in globals()]

    def __getattr__(name: str) -> Any:
        if name in _KERAS_3_ONLY:
            raise keras_3_only(name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
