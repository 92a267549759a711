"""The page that says what was tested where is made of the runs' reports, and names environments that exist."""

import importlib.util
import re

import pytest
from docs.snippets import ROOT

pytest.importorskip("sphinx", reason="the pages are checked once, in tox' environment `docs`")

REPORT = """<testsuites><testsuite>
<properties><property name="python" value="3.12.1"/><property name="keras" value="3.15.1"/>
<property name="backend" value="jax 0.12"/><property name="numpy" value="2.4"/><property name="suite" value="whole"/>
</properties>
<testcase classname="tests.cyclic.test_momentum.TestHere" name="a"/>
<testcase classname="tests.cyclic.test_momentum" name="b"><skipped message="no | at all"/></testcase>
<testcase classname="tests.finder.test_plan" name="c"><failure message="1 == 2"/></testcase>
<testcase classname="" name="tests.cyclic.test_torch_oracle">
<skipped message="collection skipped">('tests/cyclic/test_torch_oracle.py', 14, 'Skipped: torch is not here')</skipped>
</testcase>
<testcase classname="tests.docs.test_site" name="d"/>
</testsuite></testsuites>"""


@pytest.fixture(scope="module")
def script():
    """`docs/make_environments.py` as a module."""
    spec = importlib.util.spec_from_file_location("make_environments", ROOT / "docs/make_environments.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_counts_what_happened(script, tmp_path):
    """Passed, failed and skipped tests of each feature; each reason, with the number of its tests."""
    (tmp_path / "py312-jax").mkdir()
    (tmp_path / "py312-jax/report.xml").write_text(REPORT)
    lines = script.page([script.Report(tmp_path / "py312-jax/report.xml")]).splitlines()
    assert "| `py312-jax` | 3.12.1 | 3.15.1 | jax 0.12 | 2.4 | whole |" in lines
    assert "| `cycle_momentum` | 1, 1 skipped |" in lines
    assert "| `find_lr` | **1 failed** |" in lines
    assert "| policies, schedules, previews | 1 skipped |" in lines
    assert "| `study` | - |" in lines
    assert "| no \\| at all | `py312-jax` 1 |" in lines
    assert "| torch is not here | `py312-jax` 1 |" in lines


def test_the_page_names_environments_of_tox():
    """No other than `tox` and `tox -m all` run."""
    page = (ROOT / "docs/environments.md").read_text()
    named = set(re.findall(r"^\| `([\w-]+)` \| 3\.", page, flags=re.MULTILINE))
    assert named
    assert named <= set(re.findall(r"[\w-]+", (ROOT / "tox.ini").read_text().split("[testenv]")[0]))
