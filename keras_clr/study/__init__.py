"""How often does training get stuck, and did a change help? Import from `keras_clr`."""
