"""The report as text, plain and on a terminal."""

import dataclasses
import io
import re
import sys

import pytest
from rich.console import Console
from stuck.diagnoses import FROZEN, finding

from keras_clr.stuck.diagnosis import Diagnosis
from keras_clr.stuck.state import State


@pytest.fixture
def terminal(monkeypatch):
    """A text file that says it is a terminal of 60 columns."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "60")
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True, raising=False)
    return file


def test_hints_come_last_and_are_no_causes():
    """Under a line of their own, after what was found, however the findings are ordered."""
    text = FROZEN.text()
    places = [text.index(part) for part in ("dead-units [", "zero-gradient [", "Worth a look:", "no-signal [hint]")]
    assert places == sorted(places)
    assert FROZEN.summary().startswith("frozen (dead-units). Layer")
    hint = Diagnosis(State.AT_CHANCE, (finding("no-signal", "hint"),))
    assert hint.summary().startswith("at chance so far. On the probe samples the model is no better")
    assert "Worth a look (no-signal): Layer" in hint.summary()


def test_an_advantage_without_doubt_is_said_in_words():
    """Standard errors of 0 give no number with ten digits."""
    for errors, said in ((3.21, "by 3.2 standard"), (1e9, "by more than 1,000 standard")):
        assert said in Diagnosis(State.SLOW_START, evidence={"skill_in_errors": errors}).summary()


def test_a_terminal_gets_colours_and_whole_lines_of_code(terminal):
    """In 60 columns sentences are wrapped and code is not, so that it can be copied."""
    code = "x = 1  # " + "long " * 30 + "end"
    dataclasses.replace(FROZEN, findings=(dataclasses.replace(finding(), fix=code),)).print(terminal)
    assert "\x1b[" in terminal.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert code in [line.strip() for line in plain]
    assert max(len(line) for line in plain if line.strip() != code) <= 60


def test_print_is_plain_where_there_is_no_terminal(capsys):
    """A file, a pipe and `print` get `text()`."""
    FROZEN.print()
    assert capsys.readouterr().out == FROZEN.text() + "\n" == f"{FROZEN}\n"


def test_print_is_plain_without_rich(terminal, monkeypatch):
    """On a terminal, too."""
    monkeypatch.setitem(sys.modules, "rich.console", None)
    FROZEN.print(terminal)
    assert terminal.getvalue() == FROZEN.text() + "\n"


@pytest.mark.parametrize("name", ["[bold]", "[/]", "[link=x]y[/link]", ":smile:", "a[0]"])
def test_rich_reads_no_markup_in_names(name):
    """`rich.print(diagnosis)` shows names as they are, and all that the text says."""
    diagnosis = Diagnosis(
        State.FROZEN,
        (finding(name, what=name), finding("c", "hint", name)),
        evidence={"epoch": 0, "training_loss": name},
        cannot_know=(name,),
    )
    console = Console(file=io.StringIO(), width=300)
    console.print(diagnosis)
    shown = console.file.getvalue()
    assert shown.count(name) == diagnosis.text().count(name) == 10
    words = re.findall(r"\w+", diagnosis.text())
    assert sorted(re.findall(r"\w+", shown)) == sorted(words)


def test_rich_loses_no_code_at_the_edge():
    """`rich.print` cuts what is too long: so the code is wrapped there."""
    console = Console(file=io.StringIO(), width=40)
    console.print(Diagnosis(State.FROZEN, (dataclasses.replace(finding(), fix="x = " + "1 + " * 40 + "END"),)))
    assert "END" in console.file.getvalue()
