"""`docs/reference/cli.md` says what the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

from flowguardian.cli.app import COMMANDS
from flowguardian.cli.output import EXIT_CODES
from flowguardian.cli.reference import OTHER_SHAPES, PAGE, SHAPES, reference_text

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_current():
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    assert page == reference_text(), "write it anew: python -m flowguardian.cli.reference"


def test_the_page_names_every_command_exit_code_and_shape():
    page = reference_text()
    for name in COMMANDS:
        assert f"## flowguardian {name}" in page
    for path in (*SHAPES, *OTHER_SHAPES):
        assert f"## flowguardian {path}\n" in page
    assert all(f"| {code} |" in page for code in EXIT_CODES)
    assert "[Why](#why)" in page
