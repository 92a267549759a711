"""Causes: the output layer, the loss, the metrics and the labels do not fit one another."""

from __future__ import annotations

from keras_clr.stuck.finding import Cause

CAUSES: tuple[Cause, ...] = ()
