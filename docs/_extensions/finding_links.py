"""On the site, a finding's link leads to its section here, wherever it leads for users of the package."""

import re
from typing import Any

from sphinx.application import Sphinx

from keras_clr.stuck.causes import CAUSES


def lead_here(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Rewrites the links of the reports that are shown on a page."""
    if "body" not in context:
        return
    for code, cause in CAUSES.items():
        here = context["pathto"]("why-stuck") + f"#{code}"
        context["body"] = re.sub(f'href="{re.escape(cause.link)}"', f'href="{here}"', context["body"])


def setup(app: Sphinx) -> dict[str, Any]:
    """Looks at each page before it is written."""
    app.connect("html-page-context", lead_here)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
