"""Detects training that is frozen at chance, and says why: `StuckDetector`, `Diagnosis`, `Finding`."""
