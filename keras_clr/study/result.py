"""`Study`: what many runs tell together."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_clr._extras import import_extra
from keras_clr._files import write_whole
from keras_clr.cyclic.policies import check_choice
from keras_clr.study.drawing import draw_study
from keras_clr.study.run import Run
from keras_clr.study.settings import different_names
from keras_clr.study.statistics import Comparison, Share, fisher_p_value
from keras_clr.study.text import html_table, plain_text, remarks

_FORMAT = 1


@dataclass(frozen=True)
class TimeTo:
    """How soon the runs reached a target.

    Attributes:
        metric: Name of the metric.
        target: Its value.
        epochs: Of each run with a result, by number; None for a run that never reached it.

    Example:
        >>> time = TimeTo("val_accuracy", 0.9, (2, 4, None))
        >>> time.median, time.reached.count
        (4, 2)
        >>> print(TimeTo("loss", 0.1, (2, None, None)).median)
        None
    """

    metric: str
    target: float
    epochs: tuple[int | None, ...]

    @property
    def reached(self) -> Share:
        """Share of the runs that reached it."""
        return Share(sum(epoch is not None for epoch in self.epochs), len(self.epochs))

    @property
    def median(self) -> float | None:
        """Epoch by which half of the runs had reached it; None if fewer did."""
        ordered = sorted(math.inf if epoch is None else epoch for epoch in self.epochs)
        median = statistics.median(ordered) if ordered else math.inf
        return median if math.isfinite(median) else None


@dataclass(frozen=True, repr=False)
class Study:
    """Many runs of one model, and what they tell together. Immutable; made by `study`.

    Attributes:
        settings: What was run, as plain values; a study is continued only with the same.
        runs: The runs, by number.

    Example:
        >>> runs = [Run(i, 0, i, "finished", {"accuracy": (0.5, 0.5 + 0.1 * i)}) for i in range(4)]
        >>> result = Study({"vary": "shuffle", "seed": 0}, tuple(runs))
        >>> print(result.stuck_share)
        0 of 4 (0%, 95 % interval 0% to 60%)
        >>> result.scores(), result.time_to(0.7).epochs
        ((0.5, 0.6, 0.7, 0.8), (None, None, 2, 2))
        >>> Study.from_dict(json.loads(result.to_json())) == result
        True
    """

    settings: Mapping[str, Any]
    runs: tuple[Run, ...]

    @property
    def results(self) -> tuple[Run, ...]:
        """The runs that were trained to their end. Shares are of these."""
        return tuple(run for run in self.runs if run.has_result)

    @property
    def failed(self) -> tuple[Run, ...]:
        """The runs that raised an error or whose process died."""
        return tuple(run for run in self.runs if not run.has_result)

    @property
    def stuck_share(self) -> Share:
        """Share of the runs that were called frozen or diverged, with its exact 95 % `interval`."""
        return Share(sum(run.is_stuck for run in self.results), len(self.results))

    @property
    def causes(self) -> dict[str, int]:
        """Codes of what to act on first in stuck runs, and in how many; "unknown" where nothing was found."""
        return dict(Counter(run.cause or "unknown" for run in self.results if run.is_stuck).most_common())

    @property
    def states(self) -> dict[str, int]:
        """Where the runs stood in the end, in the words of `Diagnosis`, and how many."""
        return dict(Counter(run.state for run in self.results).most_common())

    @property
    def metric(self) -> str | None:
        """The metric that stands for success: of those measured, the first on validation data, a loss last."""
        names = list(dict.fromkeys(name for run in self.results for name in run.curves if name != "learning_rate"))
        return min(names, key=lambda name: ("loss" in name, not name.startswith("val_")), default=None)

    def scores(self, metric: str | None = None) -> tuple[float, ...]:
        """The last value of a metric in each run with a result.

        Args:
            metric: Name as in `History`; the study's `metric` when None.

        Raises:
            ValueError: If there is no such metric.
        """
        name = self._name(metric)
        return tuple(run.curves[name][-1] for run in self.results if run.curves.get(name))

    def time_to(self, target: float, metric: str | None = None) -> TimeTo:
        """How many epochs it took to reach a value.

        Args:
            target: What to reach: at least, where more is better (by the metric's name), else at most.
            metric: Name as in `History`; the study's `metric` when None.

        Raises:
            ValueError: If there is no such metric.
        """
        name = self._name(metric)
        return TimeTo(name, target, tuple(run.epochs_to(target, name) for run in self.results))

    def compare(self, other: Study) -> Comparison:
        """Whether the share of stuck runs differs from that of another study, by Fisher's exact test.

        Args:
            other: The same before the fix, say. What else differs, such as the data or the epochs, is named in the
                result.

        Raises:
            TypeError: If it is no study.
            ImportError: If scipy is not installed.

        Example:
            >>> def with_stuck(count):
            ...     epochs = [1] * count + [None] * (20 - count)
            ...     return Study({}, tuple(Run(i, 0, i, "finished", stuck_epoch=e) for i, e in enumerate(epochs)))
            >>> print(with_stuck(3).compare(with_stuck(14)))
            3 of 20 against 14 of 20 stuck: p = 0.0011 (Fisher's exact test): hardly chance.
        """
        if not isinstance(other, Study):
            raise TypeError(f"Argument `other` must be a Study. Received: {other!r}")
        first, second = self.stuck_share, other.stuck_share
        p_value = fisher_p_value((first.count, first.total), (second.count, second.total))
        return Comparison(first, second, p_value, tuple(different_names(self.settings, other.settings)))

    def remarks(self) -> tuple[str, ...]:
        """What is not as `vary` says: initial weights that differ, or do not, by `build_model`'s own doing."""
        return remarks(self)

    def __str__(self) -> str:
        return plain_text(self)

    def __repr__(self) -> str:
        share = self.stuck_share
        return f"Study({len(self.runs)} runs, {share.count} of {share.total} stuck, {len(self.failed)} failed)"

    def _repr_html_(self) -> str:
        return html_table(self)

    def plot(self, ax: Any = None, metric: str | None = None) -> Any:
        """Draws a metric of every run over the epochs, stuck runs in red.

        Args:
            ax: Matplotlib Axes to draw on; a new figure's when None.
            metric: Name as in `History`; the study's `metric` when None.

        Returns:
            The Axes. Nothing is shown: call `matplotlib.pyplot.show()` for that.

        Raises:
            ImportError: If matplotlib is not installed.
            ValueError: If there is no such metric.
        """
        return draw_study(self, self._name(metric), ax)

    def to_frame(self) -> Any:
        """A pandas DataFrame with a row for each run; of each metric the last value.

        Raises:
            ImportError: If pandas is not installed.
        """
        pd = import_extra("pandas", "pandas", "A DataFrame")
        fields = ("index", "init_seed", "order_seed", "status", "is_stuck", "stuck_epoch", "state", "cause", "seconds")
        names = dict.fromkeys(name for run in self.runs for name in run.curves)
        return pd.DataFrame(
            [
                {name: getattr(run, name) for name in fields}
                | {name: (run.curves.get(name) or (math.nan,))[-1] for name in names}
                for run in self.runs
            ]
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and strings; `from_dict` takes them back."""
        return {"format": _FORMAT, "settings": dict(self.settings), "runs": [run.to_dict() for run in self.runs]}

    def to_json(self, **kwargs: Any) -> str:
        """`to_dict` as standard JSON; `kwargs` go to `json.dumps`."""
        return json.dumps(self.to_dict(), allow_nan=False, **kwargs)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Study:
        """The study that `to_dict` wrote, also after a round trip through JSON."""
        check_choice("format", data["format"], (_FORMAT,))
        return cls(dict(data["settings"]), tuple(Run.from_dict(run) for run in data["runs"]))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it as JSON. The file is whole at any moment, also if the process is killed meanwhile.

        Args:
            path: File; replaced if it exists.

        Raises:
            OSError: If it cannot be written.
        """
        write_whole(path, self.to_json())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Study:
        """The study that `save` wrote.

        Raises:
            ValueError: If the file is something else.
        """
        text = Path(path).read_text(encoding="utf-8")
        try:
            return cls.from_dict(json.loads(text))
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{os.fspath(path)} is no saved study ({type(error).__name__}: {error}).") from error

    def _name(self, metric: str | None) -> str:
        names = sorted({name for run in self.runs for name in run.curves})
        name = self.metric if metric is None else metric
        if name not in names:
            measured = ", ".join(names) or "none, as no run ended an epoch"
            raise ValueError(f"Argument `metric` must be one that was measured: {measured}. Received: metric={name!r}")
        return name
