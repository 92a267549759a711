"""Every Python block of the README and of the documentation runs, but for those that say why not."""

import contextlib

import pytest
from docs.snippets import PREAMBLES, ROOT, execute, pages, snippets

pytest.importorskip("sphinx", reason="the pages are checked once, in tox' environment `docs`")

PAGES = [page for page in pages() if snippets(page)]
# Pages that are run elsewhere, and why.
ELSEWHERE = {"tools.md": "what it needs is installed by tox' environment `tools`, whose tests run it"}
NOT_RUN = {("study.md", "it needs a Ray cluster; the tests of tox' environment `cluster` do the same")}


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in ELSEWHERE], ids=lambda page: page.relative_to(ROOT).as_posix()
)
def test_snippets_run(page, tmp_path, monkeypatch):
    """The blocks of a page, one after the other, in an empty folder, behind what its preamble provides."""
    monkeypatch.chdir(tmp_path)
    with contextlib.ExitStack() as undo:
        execute(page, undo)


def test_what_is_not_run_is_known():
    """A block that is not run says why on its page, and is listed here."""
    said = {(page.name, snippet.reason) for page in PAGES for snippet in snippets(page) if snippet.reason}
    assert said == NOT_RUN


def test_preambles_belong_to_pages():
    """No preamble is left over from a page that is gone."""
    assert {path.stem for path in PREAMBLES.glob("[!_]*.py")} <= {page.stem for page in PAGES}
