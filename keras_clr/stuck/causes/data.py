"""Causes: the inputs and the labels themselves."""

from __future__ import annotations

from keras_clr.stuck.finding import Cause

CAUSES: tuple[Cause, ...] = ()
