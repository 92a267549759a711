"""Cyclical learning rates for Keras, and a detector for training that is frozen at chance."""

from keras_clr._errors import KerasCLRWarning, StuckTrainingError, StuckTrainingWarning
from keras_clr.cyclic.callback import CyclicLR
from keras_clr.cyclic.one_cycle_callback import OneCycleLR
from keras_clr.cyclic.one_cycle_schedule import OneCycleSchedule
from keras_clr.cyclic.schedule import CyclicSchedule
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
