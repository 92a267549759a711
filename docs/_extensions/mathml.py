"""Formulas as MathML, which browsers draw themselves: no script, no font, nothing from the network."""

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

_logger = logging.getLogger(__name__)


def inline(writer: Any, node: nodes.math) -> None:
    """In a line of text."""
    writer.body.append(mathml(node, as_block=False))
    raise nodes.SkipNode


def block(writer: Any, node: nodes.math_block) -> None:
    """On lines of its own, which scroll by themselves where the page is too narrow."""
    writer.body.append(f'<div class="formula" tabindex="0">{mathml(node, as_block=True)}</div>')
    raise nodes.SkipNode


def mathml(node: nodes.Element, as_block: bool) -> str:
    """The formula; what docutils does not know of LaTeX is a warning."""
    try:
        return tex2mathml(node.astext(), as_block=as_block)
    except MathError as error:
        _logger.warning("%s", error, location=node)
        return ""


def setup(app: Sphinx) -> dict[str, Any]:
    """Makes it the way in which HTML pages get their formulas."""
    app.add_html_math_renderer("mathml", inline_renderers=(inline, None), block_renderers=(block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
