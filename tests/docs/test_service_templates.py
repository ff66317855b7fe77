"""The service templates are well-formed, and the commands they start exist with these options."""

from __future__ import annotations

import shlex
from configparser import RawConfigParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from flowguardian.cli.output import EXIT_CODES
from tests.docs.test_docs import parse_flowguardian

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "deploy" / "systemd" / "flowguardian@.service"
TASK = ROOT / "deploy" / "windows" / "flowguardian-task.xml"
SPACE = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}


class Repeatable(dict):
    """A key of a unit file may stand there more than once."""

    def __setitem__(self, key, value):
        if isinstance(value, list) and isinstance(self.get(key), list):
            value = self[key] + value
        super().__setitem__(key, value)


@pytest.fixture(scope="module")
def unit():
    parser = RawConfigParser(strict=False, dict_type=Repeatable, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(UNIT.read_text(encoding="utf-8"))
    return parser


def test_the_unit_has_its_sections_and_starts_a_command_that_exists(unit):
    assert unit.sections() == ["Unit", "Service", "Install"]
    program, *words = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "flowguardian"
    parse_flowguardian(words)
    assert "%i" in unit["Service"]["ExecStart"], "it is a template"
    with pytest.raises(Exception, match="--run-dirs"):
        parse_flowguardian([word.replace("--run-dir", "--run-dirs") for word in words])


def test_the_unit_restarts_what_broke_and_nothing_that_a_person_has_to_decide(unit):
    service = unit["Service"]
    ends = {int(code) for code in service["SuccessExitStatus"].split()}
    never = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert service["Restart"] == "on-failure"
    assert ends | never <= EXIT_CODES.keys() and ends.isdisjoint(never)
    meaning = {code: EXIT_CODES[code].lower() for code in EXIT_CODES}
    assert all(word in " ".join(meaning[code] for code in never) for word in ("configuration", "preflight"))
    assert 5 not in ends | never, "a defect is a failure"


def test_the_unit_asks_the_supervisor_alone_and_gives_it_time(unit):
    service = unit["Service"]
    assert (service["KillMode"], service["KillSignal"]) == ("mixed", "SIGTERM")
    assert int(service["TimeoutStopSec"]) >= 60
    environment = unit.get("Service", "Environment").split("\n")
    assert "PYTHONUTF8=1" in environment and any("FLOWGUARDIAN_STATE_DIR=" in line for line in environment)


def test_the_task_parses_and_starts_a_command_that_exists():
    text = TASK.read_bytes()
    assert text.isascii() and b"encoding=" not in text.splitlines()[0]
    root = ET.fromstring(text)  # noqa: S314 - our own file
    assert root.tag == f"{{{SPACE['t']}}}Task"
    command = root.findtext("t:Actions/t:Exec/t:Command", namespaces=SPACE)
    assert command is not None and command.endswith("\\Scripts\\flowguardian.exe")
    arguments = root.findtext("t:Actions/t:Exec/t:Arguments", namespaces=SPACE)
    assert arguments is not None
    parse_flowguardian(shlex.split(arguments.replace("\\", "/")))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ExecutionTimeLimit", "PT0S"), ("StopIfGoingOnBatteries", "false"),
        ("MultipleInstancesPolicy", "IgnoreNew"), ("IdleSettings/t:StopOnIdleEnd", "false"),
    ],
)  # fmt: skip
def test_the_task_is_not_ended_by_the_defaults_of_windows(key, value):
    root = ET.fromstring(TASK.read_bytes())  # noqa: S314 - our own file
    assert root.findtext(f"t:Settings/t:{key}", namespaces=SPACE) == value
