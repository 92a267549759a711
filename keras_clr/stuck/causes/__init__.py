"""The catalogue: each cause's code, sentence, remedy and link. Nothing else.

In the order in which to act on them, if several are found with the same confidence.
"""

from __future__ import annotations

from collections.abc import Iterable

from keras_clr.stuck.causes import data, head, layers, training
from keras_clr.stuck.finding import Cause, Confidence, Finding

CAUSES: dict[str, Cause] = {
    cause.code: cause
    for cause in (
        *data.UNUSABLE,
        *head.CAUSES,
        *data.CAUSES,
        *training.CAUSES,
        *layers.CAUSES,
        *training.UNEXPLAINED,
    )
}


def ranked(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The one to act on first: the surest, then the one that comes first in the catalogue.

    What is more than a hint and says why comes before a proof that does not. Each code once, and nothing that follows
    from another one that is more than a hint.
    """
    sureness, places = list(Confidence), list(CAUSES)
    once = {finding.code: finding for finding in reversed(list(findings))}
    causes = [CAUSES[f.code] for f in once.values() if f.confidence != Confidence.HINT]
    explained = {code for cause in causes for code in cause.explains}
    left = [finding for finding in once.values() if finding.code not in explained]
    unexplained = {cause.code for cause in training.UNEXPLAINED}

    def place(finding: Finding) -> tuple[bool, bool, int, int]:
        hint = finding.confidence == Confidence.HINT
        sure = sureness.index(Confidence(finding.confidence))
        return hint, finding.code in unexplained, sure, places.index(finding.code)

    return tuple(sorted(left, key=place))
