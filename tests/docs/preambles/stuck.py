"""The samples that the detector looks at."""

x_probe, y_probe = x[:128], y[:128]  # noqa: F821
