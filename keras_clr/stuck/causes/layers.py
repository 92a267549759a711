"""Causes: what a forward and backward pass shows in the layers, before training or during it."""

from __future__ import annotations

from keras_clr.stuck.finding import Cause

CAUSES: tuple[Cause, ...] = ()
