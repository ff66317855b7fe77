"""Makes the environment that the project runs in, once, from the pinned and hashed requirements.

Rule: an environment is complete only with its stamp, which is written last; one with the mark of an
interrupted making is made anew, and nothing that dev.py did not make is ever removed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from development.setup_lock import SetupLock

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements" / "dev.txt"
STAMP = "flowguardian-stamp.json"
MAKING = "flowguardian-making"
NEWEST_TESTED = (3, 14)
RUNNING = f"{sys.version_info[0]}.{sys.version_info[1]}"
TAKEN_UP = ("Collecting ", "Processing ", "Requirement already satisfied: ", "Ignoring ")
UNWANTED_VARIABLES = (
    *("PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_HASHES"),
    *(
        "CI",
        "BUILD_NUMBER",
    ),  # With them pytest prints whole what differs, and the names of tests are lost in it.
)

NO_VENV = """\
this Python ({python}) cannot make environments: its module {module} is missing.
  Debian, Ubuntu:  sudo apt install python{version}-venv
  Fedora, RHEL:    sudo dnf install python3 python3-pip
  Alpine:          sudo apk add python3 py3-pip
  macOS, Windows:  install Python with its official installer, which contains it
Then start again."""


class SetupError(Exception):
    """The environment cannot be made or used; the message says why and what to do."""


def say(text: str) -> None:
    """Print at once, so that it stands before what a child process prints next."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def child_environment() -> dict[str, str]:
    """Variables for every child: UTF-8 on all systems, and nothing that makes pip or pytest act otherwise."""
    kept = {name: value for name, value in os.environ.items() if name not in UNWANTED_VARIABLES}
    return kept | {"PYTHONUTF8": "1"}


def interpreter(venv: Path) -> Path:
    return venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"


def prepare(venv: Path) -> Path:
    """The interpreter of a complete environment, made or brought up to date where necessary."""
    refuse_machines_without_numba()
    if not is_ready(venv):
        try:
            with SetupLock(venv, say):
                if not is_ready(venv):  # Another dev.py may have finished it while this one waited.
                    make_ready(venv)
        except TimeoutError as error:
            raise SetupError(str(error)) from error
    return interpreter(venv)


def refuse_machines_without_numba() -> None:
    """One sentence now is better than a failing compiler later."""
    kind = (sys.platform, platform.machine().lower())
    if sys.maxsize < 2**32:
        raise SetupError("this is a 32-bit Python; install the 64-bit one.")
    if kind == ("darwin", "x86_64"):
        raise SetupError(
            "this Python is built for Intel Macs, for which numba is no longer released. "
            "On an Apple-silicon Mac install the arm64 (universal) Python; an Intel Mac is not supported."
        )
    if kind == ("win32", "arm64"):
        raise SetupError("numba has no release for Windows on ARM; install the 64-bit x86 (AMD64) Python.")
    if sys.version_info[:2] > NEWEST_TESTED:
        say(f"note: Python {RUNNING} is newer than any that the pinned requirements were tested with")


def wanted_stamp(venv: Path) -> dict[str, str]:
    """What a complete environment is made from; any difference to its stamp is a reason to act."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    # Only these two tables decide what is installed; settings of linters in the same file do not.
    tables = json.dumps([project["project"], project["build-system"]], sort_keys=True)
    digest = hashlib.sha256(REQUIREMENTS.read_bytes() + tables.encode("utf-8"))
    return {
        "python": f"{sys.implementation.name} {RUNNING} {platform.machine()}",
        "place": str(venv),
        "project": str(ROOT),
        "inputs_sha256": digest.hexdigest(),
    }


def read_stamp(venv: Path) -> dict[str, str] | None:
    """The stamp that a finished set-up left, or None."""
    try:
        stamp = json.loads((venv / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None


def version_of(venv: Path, module: str) -> str | None:
    """The version of the environment's Python, or None where it does not start or lacks the module."""
    code = f"import sys, {module}; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [interpreter(venv), "-c", code], capture_output=True, env=child_environment(), check=False
        )
    except OSError:
        return None
    return done.stdout.decode("ascii", "replace").strip() if done.returncode == 0 else None


def is_ready(venv: Path) -> bool:
    stamp = read_stamp(venv)
    if (venv / MAKING).exists() or stamp is None or stamp | wanted_stamp(venv) != stamp:
        return False
    return version_of(venv, "os") == RUNNING


def make_ready(venv: Path) -> None:
    """Bring an environment that is absent, half made, outdated or made by hand to the pinned state."""
    started = time.monotonic()
    if venv.exists():
        reason = why_remake(venv)
        if reason:
            say(f"the environment in {venv} {reason}; making it anew")
            remove(venv)
    made_here = True
    if venv.exists() and any(venv.iterdir()):
        say(f"[1/3] keeping the environment in {venv}")
        made_here = is_made_here(venv)
        if made_here:  # The mark allows to remove it, so one made by hand never gets it.
            (venv / MAKING).touch()
    else:
        say(f"[1/3] making an environment with Python {platform.python_version()} in {venv}")
        make_venv(venv)
    install(venv)
    stamp = wanted_stamp(venv) | {"made_by": "dev.py" if made_here else "hand"}
    (venv / STAMP).write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")
    (venv / MAKING).unlink(missing_ok=True)
    say(f"      ready after {time.monotonic() - started:.0f} s\n")


def is_made_here(venv: Path) -> bool:
    """Whether dev.py made the environment, so that it may remove it."""
    return (venv / MAKING).exists() or (read_stamp(venv) or {}).get("made_by") == "dev.py"


def why_remake(venv: Path) -> str:
    """Why nothing in the folder can be kept, or "" if it can; refuses folders that dev.py must not remove."""
    if not is_made_here(venv):
        return refuse_unless_usable(venv)
    if (venv / MAKING).exists():
        return "is half made (its making was interrupted)"
    stamp, wanted = read_stamp(venv) or {}, wanted_stamp(venv)
    for what in ("python", "place", "project"):
        if stamp.get(what) != wanted[what]:
            return f"was made for {stamp.get(what)}, not for {wanted[what]}"
    return "" if version_of(venv, "pip") == RUNNING else "does not start"


def refuse_unless_usable(venv: Path) -> str:
    """What is wrong with a folder that dev.py did not make: a bare half-made environment may be made anew."""
    if venv.is_dir() and not any(venv.iterdir()):
        return ""
    if not (venv / "pyvenv.cfg").is_file():
        raise SetupError(f"{venv} is in use and no Python environment; choose another place with --venv.")
    if version_of(venv, "pip") == RUNNING:
        return ""
    packages = list(packages_of(venv).glob("*.dist-info"))
    if version_of(venv, "os") == RUNNING and not packages:
        return "is half made (there is no pip in it)"
    raise SetupError(
        f"the environment in {venv} was made by hand, and its Python is not {RUNNING}, does not start or has "
        "no pip; delete it, or choose another place with --venv."
    )


def packages_of(venv: Path) -> Path:
    """Where the environment keeps what is installed (its site-packages)."""
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(venv), "platbase": str(venv)}))


def remove(venv: Path) -> None:
    try:
        shutil.rmtree(venv)
    except OSError as error:
        raise SetupError(
            f"cannot remove {venv} ({error}); end the programs that still run from it, then start again."
        ) from error


def make_venv(venv: Path) -> None:
    for module in ("venv", "ensurepip"):
        if importlib.util.find_spec(module) is None:
            raise SetupError(NO_VENV.format(python=sys.executable, module=module, version=RUNNING))
    try:
        venv.mkdir(parents=True, exist_ok=True)
        (venv / MAKING).touch()
    except OSError as error:
        raise SetupError(f"cannot write to {venv} ({error}); choose another place with --venv.") from error
    done = subprocess.run(
        [sys.executable, "-m", "venv", venv], capture_output=True, env=child_environment(), check=False
    )
    if done.returncode != 0 or version_of(venv, "pip") != RUNNING:
        sys.stderr.write((done.stdout + done.stderr).decode("utf-8", "replace"))
        raise SetupError("python -m venv failed; the lines above say why.")


def install(venv: Path) -> None:
    """Install exactly the pinned files, each checked by its hash, then the project itself as it lies here."""
    pins = sum(line[:1].isalnum() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines())
    say("[2/3] installing the pinned requirements, each checked by its hash (a minute or two at first)")
    pip(venv, ["--require-hashes", "-r", str(REQUIREMENTS)], pins)
    say("[3/3] installing flowguardian itself (editable)")
    pip(venv, ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)], 0)
    make_path_file_relative(venv)


def make_path_file_relative(venv: Path) -> None:
    """Name the project in site-packages without the folders above it.

    Before Python 3.13 path files are read in the system's encoding: a folder with a Hangul name, written in
    UTF-8, would keep this Python from starting on a Korean Windows. Other drives have no relative path.
    """
    packages = packages_of(venv)
    if packages.drive != ROOT.drive:
        return
    for file in packages.glob("*.pth"):
        if file.read_text(encoding="utf-8").strip() == str(ROOT):
            file.write_text(os.path.relpath(ROOT, packages) + "\n", encoding="utf-8")


def pip(venv: Path, arguments: list[str], pins: int) -> None:
    """Run pip install, show how far it is, and its last lines where it fails."""
    command = [str(interpreter(venv)), "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    with subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=child_environment(),
        cwd=ROOT,
        encoding="utf-8",
        errors="replace",
    ) as process:
        try:
            last_lines = follow(process.stdout or (), pins)
        except KeyboardInterrupt:
            process.terminate()
            raise
    if process.returncode != 0:
        sys.stderr.write("".join(last_lines))
        raise SetupError(
            f"pip ended with exit code {process.returncode}; the lines above say why. Without a network "
            "connection nothing can be installed; otherwise start again: what was downloaded is kept."
        )


def follow(output: Iterable[str], pins: int) -> list[str]:
    """Say every tenth package that pip takes up; the last lines of its output, for the case that it fails."""
    lines: deque[str] = deque(maxlen=40)
    seen = 0
    for line in output:
        lines.append(line)
        if pins and line.startswith(TAKEN_UP):
            seen += 1
            if seen % 10 == 0:
                say(f"      {seen} of {pins}")
        elif pins and line.startswith("Installing collected packages"):
            say("      unpacking")
    return list(lines)
