"""Sequential tests of right answers against chance, valid however often one looks. No Keras."""

from __future__ import annotations

import math
import numbers


class SequentialTest:
    """Wald's one-sided sequential test of "this run has learned something".

    After `c` correct answers out of `n`, with p0 = chance and p1 = chance + margin,

        S = c ln(p0 / p1) + (n - c) ln((1 - p0) / (1 - p1)),

    and `alarm` is raised at S >= ln(1 / false_alarm). For a run whose accuracy is at least p1 the
    factor exp(S) has a mean of at most 1 at every step, so by Ville's inequality it ever raises
    the alarm with probability <= false_alarm, *however often one looks* (Wald 1945; Ville 1939).
    The alarm says "at chance so far", never "it will stay there".

    The same counts feed the opposite question, `learned`: is the accuracy above p0? Its statistic
    is a mixture over the look at which learning began (weight 1 / (k (k + 1)) for look k), so a
    run that sat at chance for long is believed soon after it starts; a run at or below p0 is ever
    called learned with probability <= false_alarm. Once it has, the first question is asked anew as
    such a mixture, `fallen`: has the accuracy dropped below p1 since? A run that stays at p1 or above is
    ever called fallen with probability <= false_alarm. A fallen run may be called learned again.

    Counts may be scaled down, (a c, a n) with 0 < a <= 1, where the true number of samples is only
    known to be larger: by Jensen's inequality the mean of exp(a S) is at most 1 as well.

    Args:
        chance: Accuracy at chance, p0, in (0, 1).
        margin: Smallest gain over chance that counts as learning, d > 0 with p0 + d < 1. None:
            a tenth of what there is to gain, 0.1 (1 - p0): 0.05 at p0 = 0.5.
        false_alarm: Bound on the probability of a wrong alarm, in (0, 1).

    Example:
        >>> test = SequentialTest(0.5, 0.05, 1e-3)
        >>> round(test.expected_samples())
        1375
        >>> test.update(correct=1000, num_samples=2000)
        >>> test.alarm, test.learned
        (True, False)
    """

    def __init__(self, chance: float, margin: float | None, false_alarm: float) -> None:
        for name, value in {"chance": chance, "margin": margin, "false_alarm": false_alarm}.items():
            if not isinstance(value, numbers.Real) and not (name == "margin" and value is None):
                raise TypeError(f"Argument `{name}` must be a number. Received: {name}={value!r}")
        if not 0.0 < chance < 1.0:
            raise ValueError(
                "Argument `chance` must be in (0, 1): with one class only, every answer is at "
                f"chance. Received: chance={chance}"
            )
        if margin is None:
            margin = 0.1 * (1.0 - chance)
        if not 0.0 < margin < 1.0 - chance:
            raise ValueError(
                f"Argument `margin` must be > 0 and below 1 - chance = {1.0 - chance:g}. Received: margin={margin}"
            )
        if not 0.0 < false_alarm < 1.0:
            raise ValueError(f"Argument `false_alarm` must be in (0, 1). Received: false_alarm={false_alarm}")
        self.chance = chance
        self.margin = margin
        self.false_alarm = false_alarm
        self.threshold = -math.log(false_alarm)
        self.statistic = 0.0
        self.num_samples = 0.0
        self.alarm = False
        self.learned = False
        self.fallen = False
        self._evidence = _Mixture()
        # log1p(-x) keeps its digits where p0 is near 1 and the ratio of the misses near 1 as well.
        self._per_correct = math.log(chance / (chance + margin))
        self._per_miss = -math.log1p(-margin / (1.0 - chance))

    def update(self, correct: float, num_samples: float) -> None:
        """Adds `correct` right answers out of `num_samples`.

        Raises:
            ValueError: If not 0 <= correct <= num_samples, or a number is not finite.
        """
        if not (math.isfinite(num_samples) and 0.0 <= correct <= num_samples):
            raise ValueError(
                "Arguments must be finite with 0 <= correct <= num_samples. "
                f"Received: correct={correct}, num_samples={num_samples}"
            )
        if num_samples == 0:
            return
        step = correct * self._per_correct + (num_samples - correct) * self._per_miss
        self.num_samples += num_samples
        self.statistic += step
        self.alarm = self.alarm or self.statistic >= self.threshold
        # Evidence of having learned, or, once it has, of having fallen.
        self._evidence.update(step if self.learned else -step)
        if self._evidence.log >= self.threshold:
            self.learned, self.fallen = not self.learned, self.learned
            self._evidence = _Mixture()

    def expected_samples(self) -> float:
        """Samples until the alarm on a run that stays at chance (Wald: threshold / mean step)."""
        drift = self.chance * self._per_correct + (1.0 - self.chance) * self._per_miss
        return self.threshold / drift


class _Mixture:
    """Evidence that something began at some look: a mean over all of them, look k with weight 1 / (k (k + 1))."""

    def __init__(self) -> None:
        self.log = -math.inf
        self._looks = 0

    def update(self, log_ratio: float) -> None:
        """Adds a look with this log-likelihood ratio."""
        self._looks += 1
        prior = -math.log(self._looks * (self._looks + 1))
        larger, smaller = max(self.log, prior), min(self.log, prior)
        self.log = larger + math.log1p(math.exp(smaller - larger)) + log_ratio
