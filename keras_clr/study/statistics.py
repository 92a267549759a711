"""Exact statistics of counts. scipy is imported here, and only when something is computed."""

from __future__ import annotations

from dataclasses import dataclass

from keras_clr._extras import import_extra


def exact_interval(count: int, total: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper and Pearson's interval for a share: `count` of `total`.

    Whatever the true share is, intervals of repeated studies hold it with at least this probability, also for few runs
    and for 0 of them.

    Args:
        count: How many.
        total: Of how many, >= 1.
        confidence: In (0, 1). Defaults to 0.95.

    Raises:
        ImportError: If scipy is not installed.

    Example:
        >>> [round(bound, 3) for bound in exact_interval(3, 20)]
        [0.032, 0.379]
    """
    test = import_extra("scipy.stats", "stats", "An exact interval").binomtest(count, total)
    low, high = test.proportion_ci(confidence, method="exact")
    return float(low), float(high)


def fisher_p_value(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Two-sided p-value of Fisher's exact test: are two shares the same?

    Args:
        first: (how many, of how many).
        second: The same of the other group.

    Raises:
        ImportError: If scipy is not installed.

    Example:
        >>> round(fisher_p_value((3, 20), (14, 20)), 4)
        0.0011
    """
    table = [[count, total - count] for count, total in (first, second)]
    return float(import_extra("scipy.stats", "stats", "An exact test").fisher_exact(table).pvalue)


@dataclass(frozen=True)
class Share:
    """How many of how many.

    Attributes:
        count: How many.
        total: Of how many.
    """

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share, from 0 to 1; NaN of none."""
        return self.count / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Exact 95 % interval (Clopper and Pearson); 0 to 1 where there is nothing to go by.

        Raises:
            ImportError: If scipy is not installed.
        """
        return exact_interval(self.count, self.total) if self.total else (0.0, 1.0)

    def __str__(self) -> str:
        if not self.total:
            return "0 of 0"
        low, high = self.interval
        return f"{self.count} of {self.total} ({self.value:.0%}, 95 % interval {low:.0%} to {high:.0%})"


@dataclass(frozen=True)
class Comparison:
    """Whether one study has more stuck runs than another.

    Fisher's exact test, also where both have the same seeds: with another model or another rate the same seed does not
    make two runs a pair, and where it does, the test errs on the side of "may be chance".

    Attributes:
        first: Stuck runs of the study that was asked.
        second: Stuck runs of the other one.
        p_value: Two-sided.
        different: Names of the settings that are not the same in both.

    Example:
        >>> print(Comparison(Share(3, 20), Share(14, 20), p_value=0.0011))
        3 of 20 against 14 of 20 stuck: p = 0.0011 (Fisher's exact test): hardly chance.
        >>> print(Comparison(Share(3, 20), Share(5, 20), p_value=0.7))
        3 of 20 against 5 of 20 stuck: p = 0.7 (Fisher's exact test): this may be chance.
    """

    first: Share
    second: Share
    p_value: float
    different: tuple[str, ...] = ()

    def __str__(self) -> str:
        verdict = "hardly chance" if self.p_value < 0.05 else "this may be chance"
        counts = " against ".join(f"{share.count} of {share.total}" for share in (self.first, self.second))
        other = f" Different in the two: {', '.join(self.different)}." if self.different else ""
        return f"{counts} stuck: p = {self.p_value:.2g} (Fisher's exact test): {verdict}.{other}"
