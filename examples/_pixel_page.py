"""The report of `pixel_colour.py` as one page of HTML: no script, nothing from the network."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

import keras_clr

_text = html.escape
_STYLE = """
:root { --paper: #ffffff; --ink: #1b1b1f; --faint: #5b5b66; --line: #d8d8df; --bar: #c1121f; --good: #2a6f97;
  color-scheme: light dark; }
@media (prefers-color-scheme: dark) { :root { --paper: #17171b; --ink: #e6e6ea; --faint: #a5a5b0; --line: #3d3d46;
  --bar: #ff9d92; --good: #7cc7f2; } }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.75rem; line-height: 1.25; } h2 { margin-top: 2.5rem; font-size: 1.3rem; }
.faint { color: var(--faint); font-size: .9rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; width: 100%; overflow-wrap: normal; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .6rem .35rem 0; text-align: left; vertical-align: top;
  font-size: .92rem; } thead th { color: var(--faint); font-weight: normal; white-space: nowrap; }
tbody th { font-weight: 600; white-space: nowrap; } .number { white-space: nowrap; font-variant-numeric: tabular-nums; }
.better { color: var(--good); font-weight: 600; } .worse { color: var(--bar); font-weight: 600; }
figure { margin: 1rem 0; padding: .5rem; background: #ffffff; border-radius: .4rem; overflow-x: auto; }
figure svg { display: block; width: 100%; min-width: 36rem; height: auto; }
.detector { border: 1px solid var(--line); border-radius: .4rem; margin: 1rem 0; }
"""
_COLUMNS = (
    "what changes",
    "frozen",
    "95 % interval",
    "learned",
    "95 % interval",
    "epochs to 95 %",
    "against the question",
)


def html_page(
    data: Mapping[str, Any],
    head: Sequence[str],
    words: Sequence[str],
    studies: Mapping[str, keras_clr.Study],
    curves: Mapping[str, keras_clr.LRCurve],
    *,
    with_pictures: bool,
) -> str:
    """The whole page.

    Args:
        data: What `results.json` holds.
        head: Lines on what was run.
        words: Paragraphs of explanation.
        studies: The rows' studies.
        curves: The range tests of the rows that have one.
        with_pictures: Whether matplotlib is there to draw.
    """
    parts = [
        f"<h1>{_text(head[0])}</h1>",
        f'<p class="faint">{"<br>".join(map(_text, head[1:]))}</p>',
        "<h2>What the runs did</h2>",
        _table(data),
    ]
    if with_pictures:
        parts += ["<h2>Every run</h2>", f"<figure>{_learning_curves(data)}</figure>"]
    parts += ["<h2>What it means</h2>", *(f"<p>{_text(paragraph)}</p>" for paragraph in words)]
    parts += ["<h2>How far one step goes</h2>", _moves(data)]
    if with_pictures:
        for name, curve in curves.items():
            parts += [f"<h2>The range test of '{_text(name)}'</h2>", f"<figure>{_range_test(curve)}</figure>"]
            parts.append(f"<p>{_text(repr(curve))}</p>")
    parts += _detector(studies)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(head[0])}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _table(data: Mapping[str, Any]) -> str:
    lines = []
    for name, row in data["rows"].items():
        verdict = row.get("verdict", "")
        grade = verdict if verdict in ("better", "worse") else "faint"
        median = row["median_epochs_to_95"]
        cells = (
            f"<td>{_text(row['what'])}</td>",
            _number(f"{row['frozen']} of {row['runs']}"),
            _number("{:.0%} to {:.0%}".format(*row["frozen_interval_95"])),
            _number(f"{row['learned']} of {row['runs']}"),
            _number("{:.0%} to {:.0%}".format(*row["learned_interval_95"])),
            _number("-" if median is None else f"{median:g}"),
            f'<td class="{grade}">{_text(verdict)}{_p_values(row)}</td>',
        )
        lines.append(f'<tr><th scope="row">{_text(name)}</th>{"".join(cells)}</tr>')
    caption = (
        "frozen: certified by StuckDetector, or diverged. learned: validation accuracy of at least 95 % in the end. "
        "Exact intervals; p-values of Fisher's exact test."
    )
    return _table_of(("row", *_COLUMNS), lines, caption)


def _table_of(columns: Sequence[str], lines: Sequence[str], caption: str) -> str:
    """A table that can be moved sideways on a small screen; `lines` are its rows."""
    head = "".join(f'<th scope="col">{_text(column)}</th>' for column in columns)
    return (
        f'<p class="faint">{_text(caption)}</p><div class="wide" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _p_values(row: Mapping[str, Any]) -> str:
    if "p_learned" not in row:
        return ""
    return f'<br><span class="faint">p = {row["p_learned"]:.2g} learned, {row["p_frozen"]:.2g} frozen</span>'


def _number(text: str) -> str:
    return f'<td class="number">{_text(text)}</td>'


def _moves(data: Mapping[str, Any]) -> str:
    lines = []
    for name, row in data["rows"].items():
        (low, high), (least, most) = row["rates"], row["logit_moves_of_first_update"]
        cells = _number(f"{low:.3g}") + _number(f"{least:.3g}") + _number(f"{high:.3g}") + _number(f"{most:.3g}")
        lines.append(f'<tr><th scope="row">{_text(name)}</th>{cells}</tr>')
    columns = ("row", "lowest rate", "moves a logit by", "highest rate", "moves a logit by")
    caption = (
        "One Adam update from the initial weights: the largest move of an image's logits, median of 8 images. A "
        "probability is clipped once its logit lies 16.1 below another."
    )
    return _table_of(columns, lines, caption)


def _learning_curves(data: Mapping[str, Any]) -> str:
    from _pixel_picture import draw

    return _inline(draw(dict(data), io.StringIO(), "svg").getvalue())


def _range_test(curve: keras_clr.LRCurve) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.5), layout="constrained")
    curve.plot(figure.subplots())
    target = io.StringIO()
    figure.savefig(target, format="svg")
    return _inline(target.getvalue())


def _inline(svg: str) -> str:
    """Without the declaration of a file of its own."""
    return svg[svg.index("<svg") :]


def _detector(studies: Mapping[str, keras_clr.Study]) -> list[str]:
    """What the detector said of the first stuck run of a row with stuck runs."""
    for name, study in studies.items():
        for run in study.results:
            if run.is_stuck and run.diagnosis is not None:
                return [
                    f"<h2>What StuckDetector says of run {run.index + 1} of '{_text(name)}'</h2>",
                    f'<div class="detector">{run.diagnosis._repr_html_()}</div>',
                ]
    return []
