"""The page: what it holds, that it stands alone, that nothing from the user acts in it, and how it is written."""

import dataclasses
import html.parser
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from stuck.diagnoses import CHANCE, DIVERGED, FROZEN, NOTHING, REGRESSION, finding, history

from keras_clr.stuck import report
from keras_clr.stuck.diagnosis import Diagnosis
from keras_clr.stuck.state import State

GOLDEN = Path(__file__).parent / "golden"
VOID = {"meta", "br", "img", "input", "link"}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x>',
    "&amp;",
    "'onclick='x",
    "</style><b>",
    "]]><!--",
    "[bold]$x_1$",
]


class Page(html.parser.HTMLParser):
    """Elements in order, their attributes, their text; fails where one is not closed."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.attributes, self.texts, self._open = [], [], [], []
        self.feed(page)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, [name for name, _ in attrs]))
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_is_the_golden_page(monkeypatch):
    """What a reader sees, in order; without matplotlib, the page says how to get the picture."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    body = FROZEN._repr_html_().split("</style>\n")[1]
    assert body + "\n" == (GOLDEN / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("diagnosis", [FROZEN, REGRESSION, DIVERGED, NOTHING], ids=lambda d: d.state.value)
def test_a_page_stands_alone(diagnosis):
    """Every element is closed; no script, no handler, no address but the links of the findings."""
    page = Page(diagnosis.to_html())
    assert not {"script", "img", "link", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert not [name for name, _ in page.attributes if name == "src" or name.startswith("on")]
    links = [value for name, value in page.attributes if name == "href"]
    assert links == [f.link for f in sorted(diagnosis.findings, key=lambda f: f.confidence == "hint")]
    assert "@import" not in report._STYLE
    assert "url(" not in report._STYLE


def test_the_page_has_the_panels_for_which_there_is_something():
    """Accuracy, loss and rate; a regression has no accuracy; before training there is no picture."""
    pytest.importorskip("matplotlib", reason="drawing needs the extra `plot`")
    names = ["accuracy", "loss", "learning rate"]
    for diagnosis, expected in ((FROZEN, names), (REGRESSION, ["loss"]), (NOTHING, [])):
        # Matplotlib notes the text of each drawn label.
        page = diagnosis.to_html()
        assert [name for name in names if f"<!-- {name} -->" in page] == expected
        assert page.count("<svg") == bool(expected)


def test_the_same_diagnosis_gives_the_same_page():
    """No date, no random name: two reports can be compared. The user's own style changes nothing."""
    plt = pytest.importorskip("matplotlib.pyplot", reason="drawing needs the extra `plot`")
    with plt.style.context("dark_background"):
        styled = FROZEN.to_html()
    assert FROZEN.to_html() == styled


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_from_the_user_becomes_an_element(name):
    """With any name, the page has the elements and attributes that it has with a plain one, and shows the name."""

    def page(name):
        diagnosis = Diagnosis(
            State.FROZEN,
            (finding(name, what=name), finding("b", "forecast", name), finding("c", "hint", name)),
            CHANCE,
            {"epoch": 0, "training_loss": name, "outputs": [{"state": name}], name: name},
            (f"Metric `{name}` is weighted.",),
            history([State.FROZEN], accuracy=[0.5], loss=["nan"]),
        )
        return Page(diagnosis.to_html())

    hostile = page(name)
    assert hostile.elements == page("plain").elements
    # Code, sentence, fix, and more: escaped once, not twice.
    assert sum(name in text for text in hostile.texts) >= 15
    assert json.loads(next(text for text in hostile.texts if text.startswith("{")))["evidence"][name] == name


@pytest.mark.parametrize(
    ("link", "is_link"),
    [("docs/why-stuck.md#code", True), ("https://example.org/a", True), ("javascript:alert(1)", False)],
)
def test_only_addresses_that_run_nothing_become_links(link, is_link):
    """A diagnosis from a file may have any link; it is shown, and can be clicked if it is an address."""
    page = Page(Diagnosis(State.FROZEN, (dataclasses.replace(finding(), link=link),)).to_html())
    assert (("href", link) in page.attributes) == is_link
    assert any(link in text for text in page.texts)


def test_the_page_holds_the_whole_diagnosis():
    """The JSON in it is the diagnosis."""
    page = Page(FROZEN.to_html())
    data = json.loads(next(text for text in page.texts if text.startswith("{")))
    assert Diagnosis.from_dict(data) == FROZEN


def test_a_notebook_gets_the_same_with_styles_of_its_own():
    """The fragment is what the page's body holds, and each of its rules begins at the fragment's class."""
    fragment = FROZEN._repr_html_()
    assert f"<body>\n{fragment}\n</body>" in FROZEN.to_html()
    selectors = re.findall(r"([^{}]+)\{", re.sub(r"@media[^{]*", "", report._STYLE))
    assert len(selectors) > 20
    for selector in ",".join(selectors).split(","):
        assert selector.strip() == "" or selector.strip().startswith(".keras-clr")


def test_every_colour_can_be_read():
    """Contrast of text, faint text, link and state on paper and on the box, light and dark: 4.5, as WCAG asks."""

    def luminance(colour):
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    light, dark = report._STYLE.split("@media")[:2]
    for theme in (light, dark):
        colours = re.findall(r"--(\w+): (#\w{6})", theme)
        paper, box = (dict(colours)[name] for name in ("paper", "box"))
        inks = [(colour, paper) for name, colour in colours if name in ("ink", "faint", "link", "state")]
        assert len(inks) == 7
        for ink, ground in [*inks, (dict(colours)["ink"], box)]:
            bright, low = sorted((luminance(ink), luminance(ground)), reverse=True)
            assert (bright + 0.05) / (low + 0.05) >= 4.5, (ink, ground)


def test_the_page_is_written(tmp_path):
    """The file holds what is returned, in UTF-8; a page that is there is replaced."""
    path = tmp_path / "report.html"
    path.write_text("old")
    diagnosis = dataclasses.replace(FROZEN, cannot_know=("Größe 層",))
    page = diagnosis.to_html(path)
    assert path.read_text(encoding="utf-8") == page == diagnosis.to_html(str(path))
    assert list(tmp_path.iterdir()) == [path]


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    """When the last step fails, the old page is whole and no part lies about."""
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        FROZEN.to_html(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_without_directory_is_an_error_before_anything_is_drawn(tmp_path, monkeypatch):
    """The error names the directory that is missing."""
    monkeypatch.setattr(report, "draw_svg", lambda diagnosis: pytest.fail("drawn"))
    with pytest.raises(
        FileNotFoundError, match=r"must lie in a directory that exists\. Received: path='.*lost/a\.html'"
    ):
        FROZEN.to_html(tmp_path / "lost" / "a.html")
    with pytest.raises(IsADirectoryError, match="must be a file, not a directory"):
        FROZEN.to_html(tmp_path)
