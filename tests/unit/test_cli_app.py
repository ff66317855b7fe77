"""The command line as a whole: quick, plain about errors, no exit code that only looks like a verdict."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flowguardian import __version__
from flowguardian.cli import app, output
from flowguardian.cli.failures import KNOWN
from flowguardian.cli.output import CliError, table, width

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"numba", "numpy", "pydantic", "matplotlib", "pyarrow", "rich", "yaml", "structlog"}


def _python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, check=False)


def test_help_answers_within_a_third_of_a_second():
    times = []
    for _ in range(5):
        began = time.perf_counter()
        assert _python("-m", "flowguardian", "--help").returncode == 0
        times.append(time.perf_counter() - began)
    assert min(times) <= 0.3, f"the best of five took {min(times):.2f} s"


def test_no_module_of_the_command_line_imports_anything_heavy():
    # The reference generator and what commands import inside their functions are not asked for by --help.
    names = [name for name, entry in app.COMMANDS.items() if entry.is_written()]
    code = (
        f"import sys; from flowguardian.cli.app import build; build({names!r});"
        f"print(sorted(set(sys.modules) & {HEAVY!r}))"
    )
    done = _python("-c", code)
    assert done.stdout.decode().strip() == "[]", done.stderr.decode()


def test_help_names_every_command(capsys):
    assert app.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"\n  {name} " in shown for name in app.COMMANDS)


def test_without_arguments_the_help_is_shown(capsys):
    assert app.main([]) == 0
    assert "Usage: flowguardian" in capsys.readouterr().out


@pytest.mark.parametrize("group", ["config", "data", "notify"])
def test_a_group_without_a_command_shows_its_help(group, capsys):
    assert app.main([group]) == 0
    assert "Commands:" in capsys.readouterr().out


def test_the_version_is_printed(capsys):
    assert app.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_an_unknown_command_is_a_usage_error_with_the_nearest_name(capsys):
    assert app.main(["whyy"]) == output.EXIT_USAGE
    said = capsys.readouterr()
    assert "'why'" in said.err
    assert said.out == ""


def test_an_unknown_option_names_its_command(capsys):
    assert app.main(["why", "--nothing"]) == output.EXIT_USAGE
    assert "--> flowguardian why" in capsys.readouterr().err


def _failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    from flowguardian.cli import reading

    def why() -> int:
        raise error

    monkeypatch.setattr(reading, "why", why)


def test_ctrl_c_ends_with_130(monkeypatch, capsys):
    _failing(monkeypatch, KeyboardInterrupt())
    assert app.main(["why"]) == output.EXIT_INTERRUPTED
    assert "Traceback" not in capsys.readouterr().err


def test_a_defect_shows_its_traceback_and_is_neither_pass_nor_fail(monkeypatch, capsys):
    _failing(monkeypatch, ZeroDivisionError("split by nothing"))
    assert app.main(["why"]) == output.EXIT_DEFECT
    assert "split by nothing" in capsys.readouterr().err
    assert output.EXIT_DEFECT not in (0, 1, 2, 3, 4, 130)


def test_a_known_error_says_what_where_why_and_fix(monkeypatch, capsys):
    _failing(monkeypatch, CliError("it broke", where="here", why="worn out", fix="replace it"))
    assert app.main(["why"]) == output.EXIT_USAGE
    assert capsys.readouterr().err == "error: it broke\n  --> here\n  why: worn out\n  fix: replace it\n"


def test_with_json_an_error_is_the_last_line_of_stdout_too(capsys, tmp_path):
    assert app.main(["why", "--json", "--runs", str(tmp_path)]) == output.EXIT_USAGE
    said = capsys.readouterr()
    assert json.loads(said.out.splitlines()[-1])["error"]["exit_code"] == output.EXIT_USAGE
    assert said.err.startswith("error: there is no run yet")


def test_korean_errors_have_korean_labels(capsys, tmp_path):
    app.main(["why", "--lang", "ko", "--runs", str(tmp_path)])
    said = capsys.readouterr().err
    assert "오류:" in said
    assert "해결:" in said


def test_an_unknown_language_is_refused(capsys, tmp_path):
    assert app.main(["why", "--lang", "fr", "--runs", str(tmp_path)]) == output.EXIT_USAGE
    assert "use ko or en" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_error():
    code = (
        "import sys, os; from flowguardian.cli import app, reading\n"
        "def why() -> int:\n    print('x' * 100000, flush=True); return 0\n"
        "reading.why = why\nread, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
        "sys.exit(app.main(['why']))"
    )
    done = _python("-c", code)
    assert (done.returncode, done.stderr) == (output.EXIT_BROKEN_PIPE, b"")


def test_output_is_utf8_whatever_the_console_says():
    done = _python("-m", "flowguardian", "--help", LC_ALL="ko_KR", PYTHONIOENCODING="cp949", PYTHONUTF8="0")
    assert "실행의 현재 상태" in done.stdout.decode("utf-8")


def test_every_known_error_is_a_class_of_the_project_or_of_python():
    import builtins

    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "flowguardian").rglob("*.py"))
    for name in KNOWN:
        outside = hasattr(builtins, name) or name in ("UsageError", "ClickException")
        assert outside or f"class {name}(" in source, f"{name} exists nowhere"


def test_hangul_takes_two_columns_in_a_table():
    assert width("예산") == 4
    assert table([["예산", "1"], ["ab", "2"]], indent="") == "예산  1\nab    2"
