"""The catalogue: each cause's code, sentence, remedy and link. Nothing else.

In the order in which to act on them, if several are found with the same confidence.
"""

from __future__ import annotations

from keras_clr.stuck.causes import data, head, layers, training
from keras_clr.stuck.finding import Cause

CAUSES: dict[str, Cause] = {cause.code: cause for group in (head, data, layers, training) for cause in group.CAUSES}
