"""Writes `environments.md` from the reports that the runs of `tox` left: `python docs/make_environments.py`."""

import re
import xml.etree.ElementTree as ET
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The first pattern that the name of a test's module begins with.
FEATURES = {
    "`cycle_momentum`": ("tests.cyclic.test_momentum",),
    "`OneCycleLR`, `OneCycleSchedule`": ("tests.cyclic.test_one_cycle",),
    "`CyclicLR`": ("tests.cyclic.test_callback", "tests.cyclic.test_killed", "tests.cyclic.test_writers"),
    "policies, schedules, previews": ("tests.cyclic",),
    "`find_lr`": ("tests.finder", "tests.test_snapshot"),
    "`StuckDetector`, `diagnose`": ("tests.stuck",),
    "`study`": ("tests.study",),
    "the pixel experiment": ("tests.test_pixel_colour",),
    "import, extras, README": ("tests.test_package", "tests.test_extras"),
}
VERSIONS = ("python", "keras", "backend", "numpy", "suite")
HEAD = """# Where it was tested

Written by `docs/make_environments.py` from the reports of the last runs; not by hand. Linux, CPUs.
[Contributing](contributing.md) says what the environments are. Where the suite is "a part",
only a choice of its tests was run.
"""


class Report:
    """What one environment's run says about itself."""

    def __init__(self, path: Path) -> None:
        suite = ET.parse(path).getroot().find("testsuite")
        self.name = path.parent.name
        self.versions = {p.get("name"): p.get("value") for p in suite.iterfind("./properties/property")}
        self.outcomes = defaultdict(Counter)
        self.reasons = Counter()
        for case in suite.iterfind("testcase"):
            skipped = case.find("skipped")
            bad = case.find("failure") is not None or case.find("error") is not None
            outcome = "failed" if bad else "passed" if skipped is None else "skipped"
            feature = feature_of(case.get("classname") or case.get("name"))
            if feature is None:
                continue
            self.outcomes[feature][outcome] += 1
            if skipped is not None:
                self.reasons[reason_of(skipped)] += 1

    def cell(self, feature: str) -> str:
        """Of one feature: how many tests passed, and what else happened."""
        seen = self.outcomes[feature]
        parts = [f"{seen['passed']}"] if seen["passed"] else []
        parts += [f"**{seen['failed']} failed**"] if seen["failed"] else []
        parts += [f"{seen['skipped']} skipped"] if seen["skipped"] else []
        return ", ".join(parts) or "-"


def feature_of(module: str) -> str | None:
    """Which row a test belongs to; None for those of the site, of real devices and of clusters."""
    return next((row for row, names in FEATURES.items() if module.startswith(names)), None)


def reason_of(skipped: ET.Element) -> str:
    """Why a test, or a whole file, was skipped."""
    reason = skipped.get("message") or ""
    if reason == "collection skipped":
        reason = re.sub(r"^\('.*?', \d+, '(.*)'\)$", r"\1", (skipped.text or "").strip())
    return reason.removeprefix("Skipped: ").replace("|", "\\|")


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def page(reports: list[Report]) -> str:
    """The whole page.

    Args:
        reports: Of the environments, in the order of the columns.
    """
    versions = [[f"`{r.name}`", *(r.versions[v] for v in VERSIONS)] for r in reports]
    cells = [[feature, *(r.cell(feature) for r in reports)] for feature in FEATURES]
    skipped = defaultdict(list)
    for report in reports:
        for reason, count in report.reasons.items():
            skipped[reason].append(f"`{report.name}` {count}")
    return "\n".join(
        [
            HEAD,
            table(["environment", *VERSIONS], versions),
            "## Tests that passed\n",
            table(["", *(f"`{r.name}`" for r in reports)], cells),
            "## What was skipped, and why\n",
            "A file that is skipped as a whole counts as one test.\n",
            table(["why", "where, and how many tests"], [[why, ", ".join(skipped[why])] for why in sorted(skipped)]),
        ]
    )


def main() -> None:
    """Reads `.tox`, in the order in which tox names the environments."""
    settings = (ROOT / "tox.ini").read_text().split("[testenv]")[0]
    paths = {path.parent.name: path for path in (ROOT / ".tox").glob("*/report.xml")}
    names = [name for name in re.findall(r"[\w-]+", settings) if name in paths]
    (ROOT / "docs/environments.md").write_text(page([Report(paths[name]) for name in dict.fromkeys(names)]))


if __name__ == "__main__":
    main()
