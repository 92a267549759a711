"""A diagnosis as HTML: a page of its own, or a fragment for a notebook. No script, nothing from the network.

Whatever may come from the user (names of layers and metrics, messages) passes through `_text`, which escapes it.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from keras_clr._files import check_place, write_whole
from keras_clr.stuck.drawing import draw_svg
from keras_clr.stuck.finding import Confidence, Finding
from keras_clr.stuck.text import causes_and_hints, headline, outlook, rows

if TYPE_CHECKING:
    from keras_clr.stuck.diagnosis import Diagnosis

_text = html.escape
_MEANING = {
    Confidence.CERTIFICATE: "it cannot be otherwise",
    Confidence.FORECAST: "it is expected",
    Confidence.HINT: "worth a look; it may be meant so",
}
# Each pair of colours has a contrast of at least 4.5, light and dark.
_STYLE = """
.keras-clr { --paper: #ffffff; --ink: #1b1b1f; --faint: #5b5b66; --box: #f3f3f6; --line: #d8d8df; --link: #0b57d0;
  --state: #5b5b66; color-scheme: light; background: var(--paper); color: var(--ink); max-width: 46rem;
  box-sizing: border-box; margin: 0 auto; padding: 1rem; font: 1rem/1.5 system-ui, sans-serif;
  overflow-wrap: anywhere; }
.keras-clr.good { --state: #00679c; }
.keras-clr.doubtful { --state: #8a5a00; }
.keras-clr.bad { --state: #b3261e; }
@media (prefers-color-scheme: dark) {
  .keras-clr { --paper: #17171b; --ink: #e6e6ea; --faint: #a5a5b0; --box: #232329; --line: #3d3d46; --link: #a8c7fa;
    --state: #a5a5b0; color-scheme: dark; }
  .keras-clr.good { --state: #7cc7f2; }
  .keras-clr.doubtful { --state: #f0c34e; }
  .keras-clr.bad { --state: #ff9d92; }
}
.keras-clr h1 { margin: 0; font-size: 1.75rem; line-height: 1.25; color: var(--state); }
.keras-clr h2 { margin: 2rem 0 .5rem; font-size: 1.2rem; line-height: 1.3; color: var(--ink); }
.keras-clr h3 { margin: 1rem 0 .25rem; font-size: 1rem; color: var(--ink); }
.keras-clr p, .keras-clr ul { margin: .5rem 0; }
.keras-clr ul { padding-left: 1.25rem; }
.keras-clr a { color: var(--link); }
.keras-clr header { border-left: .35rem solid var(--state); padding-left: .9rem; }
.keras-clr .faint { color: var(--faint); font-size: .9rem; font-weight: normal; }
.keras-clr section { border: 1px solid var(--line); border-radius: .4rem; margin-top: 1.5rem; padding: 0 1rem .5rem; }
.keras-clr section.first { border-top: .25rem solid var(--state); }
.keras-clr section h2 { margin-top: 1rem; }
.keras-clr pre { margin: .5rem 0; padding: .75rem; max-height: 30rem; overflow: auto; background: var(--box);
  color: var(--ink); border-radius: .4rem; font: .85rem/1.5 ui-monospace, Consolas, monospace; white-space: pre;
  overflow-wrap: normal; }
.keras-clr pre.fix { user-select: all; -webkit-user-select: all; }
.keras-clr table { width: 100%; border-collapse: collapse; }
.keras-clr th, .keras-clr td { padding: .35rem 0; border-bottom: 1px solid var(--line); background: none;
  text-align: left; vertical-align: top; font-size: .95rem; white-space: normal; }
.keras-clr th { width: 30%; padding-right: 1rem; font-weight: normal; color: var(--faint); }
.keras-clr svg { display: block; width: 100%; height: auto; margin: .5rem 0; border-radius: .4rem; }
.keras-clr summary { margin: 1rem 0 .5rem; font-weight: 600; cursor: pointer; }
"""


def html_page(diagnosis: Diagnosis) -> str:
    """A page that stands alone."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{_text(headline(diagnosis))}</title>\n"
        "<style>body { margin: 0; } @media (prefers-color-scheme: dark) { body { background: #17171b; } }</style>\n"
        f"</head>\n<body>\n{html_fragment(diagnosis)}\n</body>\n</html>\n"
    )


def html_fragment(diagnosis: Diagnosis) -> str:
    """The same for a notebook; its styles reach nothing outside of it."""
    return f"<style>{_STYLE}</style>\n{_report(diagnosis)}"


def write_page(diagnosis: Diagnosis, path: str | os.PathLike[str]) -> str:
    """Writes the page and returns it. A reader of the file sees the old page or the new one, never a part."""
    check_place(path)  # Before anything is drawn.
    page = html_page(diagnosis)
    write_whole(path, page)
    return page


def _report(diagnosis: Diagnosis) -> str:
    causes, hints = causes_and_hints(diagnosis)
    epoch = diagnosis.evidence.get("epoch")
    at = "" if epoch is None else f", epoch {epoch + 1}"
    meaning = outlook(diagnosis)
    return "\n".join(
        [
            f'<div class="keras-clr {diagnosis.state.grade}">',
            f'<header><div class="faint">StuckDetector{at}</div><h1>{_text(diagnosis.state.value)}</h1></header>',
            *([f"<p>{_text(meaning)}</p>"] if meaning else []),
            *(_section(finding, first=finding is causes[0]) for finding in causes),
            *(["<h2>Worth a look</h2>"] if hints else []),
            *(_folded(_name(finding), _finding(finding)) for finding in hints),
            *_numbers(rows(diagnosis)),
            "<h2>The run so far</h2>",
            _picture(diagnosis),
            *(["<h2>What cannot be known</h2>", _list(diagnosis.cannot_know)] if diagnosis.cannot_know else []),
            "<h2>For programs</h2>",
            _folded("All of it as JSON", f'<pre tabindex="0">{_text(diagnosis.to_json(indent=1))}</pre>'),
            "</div>",
        ]
    )


def _section(finding: Finding, *, first: bool) -> str:
    return f'<section class="{"first" if first else "other"}"><h2>{_name(finding)}</h2>\n{_finding(finding)}</section>'


def _name(finding: Finding) -> str:
    confidence = Confidence(finding.confidence)
    return f'{_text(finding.code)} <span class="faint">{confidence.value}: {_MEANING[confidence]}</span>'


def _finding(finding: Finding) -> str:
    return "\n".join(
        [
            f"<p>{_text(finding.sentence)}</p>",
            '<h3>What to change <span class="faint">(a click selects it all)</span></h3>',
            f'<pre class="fix" tabindex="0"><code>{_text(finding.fix.rstrip())}</code></pre>',
            *(["<h3>What this cannot know</h3>", _list(finding.cannot_know)] if finding.cannot_know else []),
            f"<p>More: {_link(finding.link)}</p>",
        ]
    )


def _link(link: str) -> str:
    # A diagnosis may come from a file: only addresses that run nothing become links.
    safe = link.startswith(("docs/", "https://", "http://"))
    return f'<a href="{_text(link)}">{_text(link)}</a>' if safe else _text(link)


def _numbers(pairs: Sequence[tuple[str, str]]) -> list[str]:
    if not pairs:
        return []
    cells = (f'<tr><th scope="row">{_text(label)}</th><td>{_text(value)}</td></tr>' for label, value in pairs)
    return ["<h2>Numbers</h2>", f"<table>{''.join(cells)}</table>"]


def _picture(diagnosis: Diagnosis) -> str:
    try:
        return draw_svg(diagnosis) or "<p>No epoch has been seen yet.</p>"
    except ImportError as error:
        return f"<p>{_text(str(error))}</p>"


def _folded(title: str, content: str) -> str:
    return f"<details><summary>{title}</summary>{content}</details>"


def _list(sentences: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{_text(sentence)}</li>' for sentence in sentences)}</ul>"
