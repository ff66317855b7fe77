"""dev.py on machines as they are: too old, half set up, set up by hand, interrupted, without ensurepip."""

from __future__ import annotations

import ast
import importlib.util
import json
import platform
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest

from development import commands, environment
from development.setup_lock import SetupLock

ROOT = Path(__file__).resolve().parents[2]
PYTHON = Path(sys.executable)


@pytest.fixture(autouse=True)
def locks_stay_in_the_folder_of_the_test(monkeypatch, tmp_path_factory):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path_factory.mktemp("locks")))


@pytest.fixture
def made(monkeypatch):
    """The real decisions over a folder in which a file named works stands for a Python that starts."""
    steps: list[str] = []

    def make_venv(venv: Path) -> None:
        steps.append("make")
        venv.mkdir(parents=True, exist_ok=True)
        for name in ("pyvenv.cfg", "works", environment.MAKING):
            (venv / name).touch()

    monkeypatch.setattr(environment, "make_venv", make_venv)
    monkeypatch.setattr(environment, "install", lambda _: steps.append("install"))
    monkeypatch.setattr(
        environment, "version_of", lambda venv, _: environment.RUNNING if (venv / "works").exists() else None
    )
    return steps


def by_hand(venv: Path) -> Path:
    venv.mkdir()
    for name in ("pyvenv.cfg", "works", "mine"):
        (venv / name).touch()
    return venv


def new_requirements(monkeypatch, folder: Path) -> None:
    changed = folder / "dev.txt"
    changed.write_text("other==1\n", encoding="utf-8")
    monkeypatch.setattr(environment, "REQUIREMENTS", changed)


def test_a_python_that_is_too_old_reads_which_one_it_takes(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 8, 18, "final", 0))
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "dev.py"), run_name="__main__")
    assert ended.value.code == 3
    assert "needs Python 3.11 or newer; this is Python 3.8" in capsys.readouterr().err


def test_dev_py_holds_nothing_that_an_old_python_cannot_parse():
    text = (ROOT / "dev.py").read_text(encoding="utf-8")
    assert text.isascii()
    for node in ast.walk(ast.parse(text)):
        assert not isinstance(node, ast.JoinedStr | ast.AnnAssign | ast.NamedExpr | ast.Match)
        assert not isinstance(node, ast.ImportFrom) or node.module != "__future__"
        assert not isinstance(node, ast.Raise) or node.cause is None
        assert not isinstance(
            node, ast.FunctionDef
        )  # Functions would come with annotations: development/ has them.


def test_development_needs_the_standard_library_alone():
    for file in (ROOT / "development").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.split(".")[0] in sys.stdlib_module_names | {"development"}, f"{file.name}: {name}"


def test_the_first_start_makes_the_environment_and_the_second_skips_it(made, tmp_path):
    venv = tmp_path / "venv"
    environment.prepare(venv)
    assert made == ["make", "install"]
    assert not (venv / environment.MAKING).exists()
    environment.prepare(venv)
    assert made == ["make", "install"]


def test_an_interrupted_making_is_made_anew(made, tmp_path, monkeypatch):
    venv = tmp_path / "venv"

    def dies(_: Path) -> None:
        (venv / "half").touch()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(environment, "install", dies)
        with pytest.raises(KeyboardInterrupt):
            environment.prepare(venv)
    environment.prepare(venv)
    assert made == ["make", "make", "install"]
    assert not (venv / "half").exists()


def test_new_requirements_are_installed_into_the_environment_that_is_there(made, tmp_path, monkeypatch):
    venv = tmp_path / "venv"
    environment.prepare(venv)
    new_requirements(monkeypatch, tmp_path)
    environment.prepare(venv)
    assert made == ["make", "install", "install"]


@pytest.mark.parametrize("what", ["python", "place", "project"])
def test_an_environment_made_for_another_python_or_place_is_made_anew(made, tmp_path, what):
    venv = tmp_path / "venv"
    environment.prepare(venv)
    stamp = json.loads((venv / environment.STAMP).read_text(encoding="utf-8"))
    (venv / environment.STAMP).write_text(json.dumps(stamp | {what: "another"}), encoding="utf-8")
    environment.prepare(venv)
    assert made == ["make", "install", "make", "install"]


def test_an_environment_whose_python_no_longer_starts_is_made_anew(made, tmp_path):
    venv = tmp_path / "venv"
    environment.prepare(venv)
    (venv / "works").unlink()
    environment.prepare(venv)
    assert made == ["make", "install", "make", "install"]


def test_an_environment_made_by_hand_is_used_and_never_removed(made, tmp_path, monkeypatch):
    venv = by_hand(tmp_path / "venv")
    environment.prepare(venv)
    assert made == ["install"]

    def dies(_: Path) -> None:
        raise KeyboardInterrupt

    new_requirements(monkeypatch, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(environment, "install", dies)
        with pytest.raises(KeyboardInterrupt):
            environment.prepare(venv)
    environment.prepare(venv)
    (venv / "works").unlink()
    with pytest.raises(environment.SetupError, match="made by hand"):
        environment.prepare(venv)
    assert (venv / "mine").exists()
    assert made == ["install", "install"]


def test_a_folder_that_is_no_environment_is_refused_and_left_alone(made, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "letter").touch()
    with pytest.raises(environment.SetupError, match="no Python environment"):
        environment.prepare(tmp_path / "letters")
    assert (tmp_path / "letters" / "letter").exists()
    assert made == []


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_without_ensurepip_the_error_says_what_to_install(monkeypatch, tmp_path, missing):
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else real(name))
    with pytest.raises(environment.SetupError, match=f"module {missing} is missing") as error:
        environment.make_venv(tmp_path / "venv")
    assert f"apt install python{environment.RUNNING}-venv" in str(error.value)
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(("system", "machine"), [("darwin", "x86_64"), ("win32", "ARM64")])
def test_a_machine_without_numba_is_told_so_before_anything_is_installed(monkeypatch, system, machine):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    with pytest.raises(environment.SetupError, match="numba"):
        environment.refuse_machines_without_numba()


def test_a_failing_pip_shows_its_last_lines(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(environment, "interpreter", lambda _: PYTHON)
    with pytest.raises(environment.SetupError, match="pip ended with exit code"):
        environment.pip(tmp_path, ["--no-index", "-r", str(tmp_path / "absent.txt")], 1)
    assert "absent.txt" in capfd.readouterr().err


def test_site_packages_name_the_project_without_the_folders_above_it(monkeypatch, tmp_path):
    root = tmp_path / "한글"
    packages = environment.packages_of(root / ".venv")
    packages.mkdir(parents=True)
    (packages / "_flowguardian.pth").write_text(str(root), encoding="utf-8")
    monkeypatch.setattr(environment, "ROOT", root)
    environment.make_path_file_relative(root / ".venv")
    written = (packages / "_flowguardian.pth").read_text(encoding="utf-8").strip()
    assert written.isascii()
    assert (packages / written).resolve() == root.resolve()


def test_two_set_ups_of_one_environment_do_not_run_at_once(tmp_path):
    said: list[str] = []
    with (
        SetupLock(tmp_path, said.append),
        pytest.raises(TimeoutError, match="another dev.py"),
        SetupLock(tmp_path, said.append, limit_seconds=0.0),
    ):
        pytest.fail("two held the lock")
    with SetupLock(tmp_path, said.append, limit_seconds=0.0):
        assert said == ["another dev.py is making this environment; waiting for it"]


def test_what_stands_behind_the_command_is_passed_on_untouched(monkeypatch):
    ran: list[tuple[str, ...]] = []

    def run(_: Path, arguments: Sequence[str], **__: object) -> int:
        ran.append(tuple(arguments))
        return 4

    monkeypatch.setattr(commands, "prepare", lambda _: PYTHON)
    monkeypatch.setattr(commands, "run", run)
    assert commands.main(["accept", "--break", "--json"]) == 4
    assert commands.main(["bench", "replay", "--json"]) == 4
    assert commands.main(["--venv", "there", "test", "-k", "--venv"]) == 4
    assert ran == [
        ("-m", "flowguardian", "accept", "--break", "--json"),
        ("-m", "benchmarks", "replay", "--json"),
        ("-m", "pytest", "-k", "--venv"),
    ]


@pytest.mark.parametrize("arguments", [[], ["fly"], ["--fast", "test"], ["--venv"], ["setup", "now"]])
def test_what_cannot_be_understood_ends_with_the_usage(monkeypatch, capsys, arguments):
    monkeypatch.setattr(commands, "prepare", lambda _: pytest.fail("nothing may be made"))
    assert commands.main(arguments) == 2
    assert "usage: python dev.py" in capsys.readouterr().err


def test_the_environment_may_be_kept_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("FLOWGUARDIAN_VENV", str(tmp_path / "a"))
    assert commands.read_arguments(["setup"])[0] == tmp_path / "a"
    assert commands.read_arguments([f"--venv={tmp_path / 'b'}", "setup"])[0] == tmp_path / "b"
    monkeypatch.delenv("FLOWGUARDIAN_VENV")
    assert commands.read_arguments(["setup"])[0] == ROOT / ".venv"


def test_every_check_runs_though_the_first_is_not_green(monkeypatch, capsys):
    codes = iter([1, 0, 0, 5])
    monkeypatch.setattr(commands, "run", lambda *_, **__: next(codes))
    assert commands.test(PYTHON, []) == 1
    assert capsys.readouterr().out.endswith("not green: format, tests\n")


def test_all_green_is_exit_code_0(monkeypatch, capsys):
    monkeypatch.setattr(commands, "run", lambda *_, **__: 0)
    assert commands.test(PYTHON, []) == 0
    assert capsys.readouterr().out.endswith("all checks are green\n")


def test_the_exit_code_of_the_child_comes_back():
    assert commands.run(PYTHON, ["-c", "raise SystemExit(7)"]) == 7


def test_children_write_utf_8_and_pip_installs_nowhere_else(monkeypatch):
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.setenv("PIP_USER", "1")
    code = "import os, sys; raise SystemExit(10 * sys.flags.utf8_mode + ('PIP_USER' in os.environ))"
    assert commands.run(PYTHON, ["-c", code]) == 10


@pytest.mark.skipif(
    sys.platform == "win32", reason="POSIX signals; Windows sends Ctrl-C to the whole console"
)
@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_dev_py_ends_the_child_too(sent, code):
    child = "import sys; print('started', flush=True); sys.stdin.read()"
    parent = (
        f"from development.commands import run\nraise SystemExit(run({sys.executable!r}, ['-c', {child!r}]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.send_signal(sent)
        assert process.wait(timeout=20) == code
        assert process.stdout.read() == b""  # Ends only when the child has closed its copy as well.


@pytest.mark.parametrize("name", ["run.txt", "dev.txt"])
def test_every_pinned_requirement_has_hashes_and_no_address(name):
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    assert "://" not in text
    pins = re.split(r"\n(?=[A-Za-z])", re.sub(r"(?m)^#.*\n", "", text))
    assert len(pins) > 20
    for pin in pins:
        assert re.match(r"[\w.-]+==[\w.]+( ;|\s)", pin), pin[:80]
        assert "--hash=sha256:" in pin, pin[:80]


def test_every_dependency_of_the_project_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    run = [
        *project["dependencies"],
        *extras["keyring"],
        *extras["notify"],
        *extras["postgres"],
        *extras["redis"],
    ]
    dev = [wanted for wanted in extras["dev"] if wanted != "flowguardian[keyring,notify,postgres,redis]"]
    assert len(dev) < len(extras["dev"])
    for name, wanted in {"run.txt": run, "dev.txt": run + dev}.items():
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        pinned = set(re.findall(r"(?m)^([\w.-]+)==", text))
        assert {re.split(r"[<>=\[]", one)[0].lower().replace("_", "-") for one in wanted} <= pinned
