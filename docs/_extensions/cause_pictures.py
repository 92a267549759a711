"""Puts the pictures of a sick and a healthy run behind the heading of each cause in `why-stuck.md`.

The page itself stays plain Markdown. What there is to show stands in `images/causes/causes.json`, which
`make_cause_pictures.py` writes. The build fails for a cause without a section, without an entry, or without a file.
"""

import json
import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.util import logging

from keras_clr.stuck.causes import CAUSES

PAGE = "why-stuck"
FOLDER = "images/causes"
_logger = logging.getLogger(__name__)


def insert(app: Sphinx, page: str, source: list[str]) -> None:
    """Adds the pictures to the text of the page."""
    if page != PAGE:
        return
    entries = json.loads((Path(app.srcdir) / FOLDER / "causes.json").read_text())
    app.env.note_dependency(f"{FOLDER}/causes.json")
    headings = re.findall(r"^### (\S+)$", source[0], flags=re.MULTILINE)
    for code in CAUSES:
        if code not in headings:
            _logger.warning("cause %s has no section in %s.md", code, PAGE)
        if code not in entries:
            _logger.warning("cause %s has no picture: run docs/make_cause_pictures.py %s", code, code)
    for code in {*headings, *entries} - set(CAUSES):
        _logger.warning("%s is no cause that keras_clr knows", code)
    source[0] = re.sub(
        r"^### (\S+)$",
        lambda heading: f"{heading[0]}\n\n{pictures(heading[1], entries.get(heading[1], {}))}",
        source[0],
        flags=re.MULTILINE,
    )


def pictures(code: str, entry: dict[str, Any]) -> str:
    """Two figures, or the reason why there are none."""
    if "program" not in entry:
        return f"*No picture.* {entry.get('reason', '')}"
    if "error" in entry:
        error = entry["error"].replace("`", "")
        sick = f"```{{container}} refused\nThe sick program has no run: `fit` stops with `{error}`\n```"
    else:
        sick = _figure(f"{code}-sick", f"Sick: {entry['program']}. In the end *{entry['state']}*.")
    healthy = _figure(
        f"{code}-healthy", f"Healthy: the repaired program, same seed. In the end *{entry['twin_state']}*."
    )
    return f"````{{container}} cause-pictures\n{sick}\n\n{healthy}\n````"


def _figure(name: str, caption: str) -> str:
    words = re.sub(r"\*", "", caption)
    options = f":alt: {words} Accuracy and loss over the epochs.\n:loading: lazy"
    return f"```{{figure}} {FOLDER}/{name}.svg\n{options}\n\n{caption}\n```"


def setup(app: Sphinx) -> dict[str, Any]:
    """Works on the text before it is parsed."""
    app.connect("source-read", insert)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
