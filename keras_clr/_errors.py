"""The package's own warnings and errors."""


class KerasCLRWarning(UserWarning):
    """Base of every warning that keras-clr gives; filter on it to silence or to raise them all."""


class StuckTrainingWarning(KerasCLRWarning):
    """`StuckDetector(on_stuck="warn")` found the run frozen at chance."""


class StuckTrainingError(RuntimeError):
    """`StuckDetector(on_stuck="raise")` found the run frozen at chance.

    Attributes:
        diagnosis: The `Diagnosis` that led to it.
    """

    def __init__(self, message: str, diagnosis: object) -> None:
        super().__init__(message)
        self.diagnosis = diagnosis
