"""The built site and a report in a real browser, on a phone and a desk, by day and by night."""

import functools
import http.server
import json
import os
import threading
import urllib.parse
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from docs.snippets import ROOT

import keras_clr
from keras_clr.stuck.causes import CAUSES

playwright = pytest.importorskip("playwright.sync_api", reason="only tox' environment `browser` installs a driver")

CHROMIUM = Path(os.environ.get("KERAS_CLR_CHROMIUM", "/usr/bin/chromium"))
SITE = ROOT / "docs/_build/html"
SCREENSHOTS = os.environ.get("KERAS_CLR_SCREENSHOTS")  # A folder to look at by eye.
WIDTHS, SCHEMES = (390, 1280), ("light", "dark")
PAGES = sorted(path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html"))
# Everything that the page is wider than the window by, and what sticks out.
SIDEWAYS = """() => document.documentElement.scrollWidth - document.documentElement.clientWidth"""
PICTURES = """async () => {
    const pictures = [...document.images];
    pictures.forEach(picture => picture.loading = "eager");
    await Promise.all(pictures.map(picture => picture.decode().catch(() => {})));
    return pictures.filter(picture => !picture.naturalWidth).map(picture => picture.src);
}"""
LINKS = """() => [...document.querySelectorAll("a[href]")].map(link => link.href)"""
ANCHORS = """() => [...document.querySelectorAll("[id]")].map(element => element.id)"""
# Relative luminance and contrast as WCAG 2 defines them.
CONTRAST = """() => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
        .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    let paper = document.querySelector("article p") || document.body;
    const ink = numbers(getComputedStyle(paper).color);
    while (paper && numbers(getComputedStyle(paper).backgroundColor)[3] < 1) paper = paper.parentElement;
    const [low, high] = [ink, paper ? numbers(getComputedStyle(paper).backgroundColor) : [255, 255, 255]]
        .map(light).sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
}"""


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def site():
    """Address of the site, served from this machine."""
    if not PAGES:
        pytest.fail("there is no site: build it first, `tox -e docs`")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium, without a window."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM} (KERAS_CLR_CHROMIUM names another place): nothing was opened")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(
    params=[(width, scheme) for width in WIDTHS for scheme in SCHEMES], ids=lambda both: f"{both[0]}-{both[1]}"
)
def window(request, browser):
    """A page, and the list of everything that goes wrong in it."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.troubles = []
    page.name = f"{width}-{scheme}"
    page.on("console", lambda told: told.type in ("error", "warning") and page.troubles.append(told.text))
    page.on("pageerror", lambda error: page.troubles.append(str(error)))
    # Aborted is what the browser still had to fetch for the page before, as its icon.
    page.on(
        "requestfailed",
        lambda request: (
            request.failure == "net::ERR_ABORTED" or page.troubles.append(f"{request.failure}: {request.url}")
        ),
    )
    page.on("response", lambda answer: answer.status >= 400 and page.troubles.append(f"{answer.status}: {answer.url}"))
    page.on(
        "request",
        lambda request: (
            request.url.startswith(("http://127.0.0.1", "data:", "file:", "blob:"))
            or page.troubles.append(f"from the network: {request.url}")
        ),
    )
    yield page
    context.close()


def look(page, address, name):
    """Opens an address; nothing may be wrong with it."""
    page.troubles.clear()
    page.goto(address)
    assert page.evaluate(PICTURES) == []
    assert page.troubles == []
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{SCREENSHOTS}/{name.replace('/', '-')}-{page.name}.png", full_page=True)
    assert page.evaluate(SIDEWAYS) <= 0, f"{name} scrolls sideways by {page.evaluate(SIDEWAYS)} pixels"
    assert page.evaluate(CONTRAST) >= 4.5


def test_every_page(site, window):
    """No error in the console, nothing from the network, no picture missing, no sideways scrolling, readable text."""
    for name in PAGES:
        look(window, f"{site}/{name}", name)


def test_every_link(site, browser):
    """Each link within the site leads to a page, and to an anchor that is there."""
    page = browser.new_page()
    links, anchors = {}, {}
    for name in PAGES:
        page.goto(f"{site}/{name}")
        links[name] = page.evaluate(LINKS)
        anchors[f"/{name}"] = {*page.evaluate(ANCHORS), ""}
    page.close()
    broken = []
    for name, targets in links.items():
        for target in targets:
            place = urllib.parse.urlsplit(target)
            if f"{place.scheme}://{place.netloc}" != site:
                if place.scheme != "https":
                    broken.append((name, target))
                continue
            file = SITE / place.path.lstrip("/")
            path = f"{place.path}index.html" if place.path.endswith("/") else place.path
            known = anchors.get(path, {""})
            if not file.exists() or urllib.parse.unquote(place.fragment) not in known:
                broken.append((name, target))
    assert broken == []


def test_every_finding_has_its_anchor(site, browser):
    """The link of each cause that the package knows leads to its own heading."""
    page = browser.new_page()
    for code, cause in CAUSES.items():
        place = cause.link.rsplit("/", 1)[-1].replace(".md#", ".html#")
        page.goto(f"{site}/{place}")
        headings = page.locator(f"#{code} > h3").all_inner_texts()
        assert [text.strip("#¶ \n") for text in headings] == [code]
    page.close()


def test_from_a_finding_to_its_section(site, window):
    """In the report of the gallery, a click on the finding's link shows the section of its cause."""
    window.goto(f"{site}/gallery/plot_is_it_stuck.html")
    link = window.locator(".keras-clr section.first p a")
    code = link.inner_text().partition("#")[2]
    link.click()
    window.wait_for_url(f"{site}/why-stuck.html#{code}")
    # Where it stays, once all pictures above it are there.
    assert window.evaluate(PICTURES) == []
    window.wait_for_timeout(200)
    assert 0 <= window.locator(f"#{code} > h3").bounding_box()["y"] < 900
    assert window.troubles == []


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report of a stuck run as a user gets it, with long names in it."""
    keras.utils.set_random_seed(0)
    x, y = np.random.default_rng(0).normal(size=(256, 4)).astype("float32"), np.arange(256) % 2
    layers = [keras.layers.Dense(4, name="a_layer_with_a_name_" * 6), keras.layers.Dense(1, activation="softmax")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    detector = keras_clr.StuckDetector((x, y))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Keras', and the detector's: they say what the report says.
        model.fit(x, y, epochs=3, verbose=0, callbacks=[detector])
    assert "softmax-over-one-unit" in json.dumps(detector.diagnosis_.to_dict())
    path = tmp_path_factory.mktemp("report") / "report.html"
    detector.diagnosis_.to_html(path)
    return path


def test_a_report_of_its_own(report, window):
    """The page that `to_html` writes is as readable as the site, from the file and without a network."""
    look(window, report.as_uri(), "report")
    window.locator("summary").last.click()
    assert window.evaluate(SIDEWAYS) <= 0
