"""What the build of the site checks, and what it relies on."""

import json
import re
import sys
import tomllib
from importlib import import_module
from types import SimpleNamespace

import pytest
from docs.snippets import ROOT, pages

from keras_clr._links import DOCUMENTATION
from keras_clr.stuck.causes import CAUSES

pytest.importorskip("sphinx", reason="the pages are checked once, in tox' environment `docs`")

# Sphinx' configuration puts the folder of the extensions on the path, too.
sys.path[:0] = [str(ROOT / "docs/_extensions"), str(ROOT / "docs")]
cause_pictures, finding_links, public_names = map(import_module, ("cause_pictures", "finding_links", "public_names"))

PICTURES = ROOT / "docs/images/causes"
ENTRIES = json.loads((PICTURES / "causes.json").read_text())


def sphinx(warnings, monkeypatch, extension):
    """Enough of Sphinx for an extension; what it warns about goes to a list."""
    monkeypatch.setattr(extension._logger, "warning", lambda message, *words: warnings.append(message % words))
    return SimpleNamespace(srcdir=str(ROOT / "docs"), env=SimpleNamespace(note_dependency=lambda path: None))


def slug(heading):
    """The anchor that GitHub and MyST give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def test_each_cause_is_on_the_ladder():
    """From the page of symptoms, each cause can be reached."""
    linked = set(re.findall(r"why-stuck\.md#([\w-]+)", (ROOT / "docs/symptoms.md").read_text()))
    assert linked == set(CAUSES)


def test_each_cause_has_its_pictures_and_no_picture_is_left_over():
    """A sick and a healthy run of less than 15 kB each; a refused one has its error, one without both a reason."""
    wanted = set()
    for code, entry in ENTRIES.items():
        if "program" in entry:
            assert code in entry["codes"]
            wanted |= {f"{code}-healthy.svg"} | (set() if "error" in entry else {f"{code}-sick.svg"})
        else:
            assert entry["reason"]
    assert {path.name for path in PICTURES.glob("*.svg")} == wanted
    assert list(ENTRIES) == list(CAUSES)
    assert max(path.stat().st_size for path in PICTURES.glob("*.svg")) < 15_000


@pytest.mark.parametrize("code", ["constant-inputs", "saturated-clipped-loss"])
def test_pictures_are_those_of_the_programs(code, tmp_path, monkeypatch):
    """Drawn anew on the backend of the pictures, the same program shows the same findings."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    import make_cause_pictures

    monkeypatch.setattr(make_cause_pictures, "FOLDER", tmp_path)
    entry = make_cause_pictures.describe(code)
    assert sorted(entry.pop("codes")) == sorted(ENTRIES[code]["codes"])
    assert entry == {name: value for name, value in ENTRIES[code].items() if name != "codes"}
    assert {path.name for path in tmp_path.iterdir()} == {f"{code}-sick.svg", f"{code}-healthy.svg"}


def test_build_fails_for_a_cause_without_picture_or_section(monkeypatch, tmp_path):
    """The extension warns, and warnings are errors; with everything there it says nothing."""
    warnings = []
    app = sphinx(warnings, monkeypatch, cause_pictures)
    text = (ROOT / "docs/why-stuck.md").read_text()
    whole = [text]
    cause_pictures.insert(app, "why-stuck", whole)
    assert warnings == []
    assert whole[0].count("-sick.svg") == len(list(PICTURES.glob("*-sick.svg")))
    cause_pictures.insert(app, "why-stuck", [text.replace("### rate-zero\n", "### rate-none\n")])
    assert warnings == ["cause rate-zero has no section in why-stuck.md", "rate-none is no cause that keras_clr knows"]
    warnings.clear()
    (tmp_path / cause_pictures.FOLDER).mkdir(parents=True)
    without = {code: entry for code, entry in ENTRIES.items() if code != "diverged"}
    (tmp_path / cause_pictures.FOLDER / "causes.json").write_text(json.dumps(without))
    app.srcdir = str(tmp_path)
    cause_pictures.insert(app, "why-stuck", [text])
    assert warnings == ["cause diverged has no picture: run docs/make_cause_pictures.py diverged"]


def test_build_fails_for_a_public_name_that_is_not_documented(monkeypatch):
    """Names of `__all__` and their public members."""
    warnings = []
    app = sphinx(warnings, monkeypatch, public_names)
    names = public_names.public_names()
    assert {"keras_clr.find_lr", "keras_clr.Diagnosis.to_html", "keras_clr.CyclicLR.simulate"} <= set(names)
    there = [(name, name, "class", "api", name, 1) for name in names if name != "keras_clr.Study.save"]
    domain = SimpleNamespace(get_objects=lambda: there)
    public_names.check(app, SimpleNamespace(domains={"py": domain}))
    assert warnings == ["public name keras_clr.Study.save is not documented: add it to docs/api.md"]


def test_findings_lead_to_the_page_of_the_site():
    """The link of a report that is shown in the gallery leads to the section on the site."""
    link = CAUSES["dead-layer"].link
    context = {"body": f'<a href="{link}">{link}</a>', "pathto": lambda page: f"../{page}.html"}
    finding_links.lead_here(None, "gallery/plot_is_it_stuck", "page.html", context, None)
    assert context["body"] == f'<a href="../why-stuck.html#dead-layer">{link}</a>'


def test_findings_lead_to_the_published_documentation():
    """Where the project says it has its documentation; without such an address, in the repository."""
    urls = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"].get("urls", {})
    if "Documentation" in urls:
        assert urls["Documentation"].rstrip("/") + "/{page}.html" == DOCUMENTATION
    else:
        assert (ROOT / DOCUMENTATION.format(page="why-stuck")).is_file()


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere_on_github(page):
    """Relative links from page to page, to their headings, files and pictures."""
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        place, _, anchor = target.partition("#")
        file = (page.parent / place).resolve() if place else page
        if file.is_relative_to(ROOT / "docs/gallery"):
            continue  # Made by the build, which checks these.
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), flags=re.MULTILINE)
            assert anchor in {slug(heading) for heading in headings}, target
