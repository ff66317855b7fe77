"""The commands of dev.py: reads its arguments, sees to the environment, runs one child after another.

Rule: what stands behind the command is passed on untouched, and the child's exit code comes back.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from development.environment import ROOT, SetupError, child_environment, prepare, say

USAGE_ERROR, SETUP_ERROR, INTERRUPTED = 2, 3, 130
CTRL_C_ON_WINDOWS = 0xC000013A

USAGE = """\
usage: python dev.py [--venv PATH] COMMAND [arguments passed on]

  setup    make the environment (.venv) and install the pinned requirements into it
  accept   set up if needed, then a 12-hour acceptance rehearsal on a synthetic market
  test     set up if needed, then format, lint, types and all tests; with arguments: pytest with these alone
  bench    set up if needed, then the benchmarks (replay, ...)

  --venv PATH, or FLOWGUARDIAN_VENV in the environment: keep the environment elsewhere
On Windows write py instead of python; on other systems python3 where there is no python.
"""

CHECKS: Mapping[str, tuple[str, ...]] = {
    "format": ("-m", "ruff", "format", "--check", "."),
    "lint": ("-m", "ruff", "check", "."),
    "types": ("-m", "mypy"),
    "tests": ("-m", "pytest", "-n", "2"),
}


class UsageError(Exception):
    """The arguments of dev.py cannot be understood."""


def main(arguments: Sequence[str]) -> int:
    """Do what the command line asks for and return the exit code of what ran."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # A console of Windows with code page 949 cannot show every path.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        venv, command, rest = read_arguments(arguments)
        if command == "help":
            say(USAGE)
            return 0
        python = prepare(venv)
    except UsageError as error:
        sys.stderr.write(f"dev.py: {error}\n\n{USAGE}")
        return USAGE_ERROR
    except SetupError as error:
        sys.stderr.write(f"\ndev.py: {error}\n")
        return SETUP_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("\ndev.py: interrupted; the next start makes the environment anew.\n")
        return INTERRUPTED
    return COMMANDS[command](python, rest)


def read_arguments(arguments: Sequence[str]) -> tuple[Path, str, list[str]]:
    """Place of the environment, command, and the arguments to pass on."""
    place = os.environ.get("FLOWGUARDIAN_VENV") or str(ROOT / ".venv")
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        option, _, value = rest.pop(0).partition("=")
        if option in ("-h", "--help"):
            return Path(place), "help", []
        if option != "--venv":
            raise UsageError(f"unknown option {option} (options of a command stand behind it)")
        if not value and not rest:
            raise UsageError("--venv needs a path")
        place = value or rest.pop(0)
    if not rest or rest[0] not in COMMANDS:
        found = f"unknown command {rest[0]}" if rest else "no command"
        raise UsageError(f"{found}; known are {', '.join(COMMANDS)}")
    if rest[0] == "setup" and rest[1:]:
        raise UsageError(f"setup takes no arguments, but got {' '.join(rest[1:])}")
    return Path(place).expanduser().absolute(), rest[0], rest[1:]


def run(python: Path, arguments: Sequence[str], cwd: Path | None = None) -> int:
    """Run the environment's Python; 130 after Ctrl-C, for which the child gets the time to end by itself."""
    process = subprocess.Popen([python, *arguments], env=child_environment(), cwd=cwd)
    previous = signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    interrupted = False
    code: int | None = None
    try:
        while code is None:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                interrupted = True
                if not terminal_interrupts_children():
                    process.send_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGTERM, previous)
    if interrupted or code in (-signal.SIGINT, CTRL_C_ON_WINDOWS):
        return INTERRUPTED
    return code if code >= 0 else 128 - code


def terminal_interrupts_children() -> bool:
    """Whether a Ctrl-C reached the child as well: a terminal signals all processes in its foreground."""
    if sys.platform == "win32":
        return True
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
        try:
            return os.tcgetpgrp(terminal) == os.getpgrp()
        finally:
            os.close(terminal)
    except OSError:
        return False


def setup(python: Path, _: Sequence[str]) -> int:
    say(f"The environment is ready: {python}\nNext: python dev.py accept, or python dev.py test")
    return 0


def accept(python: Path, arguments: Sequence[str]) -> int:
    return run(python, ("-m", "flowguardian", "accept", *arguments))


def bench(python: Path, arguments: Sequence[str]) -> int:
    return run(python, ("-m", "benchmarks", *arguments), cwd=ROOT)


def test(python: Path, arguments: Sequence[str]) -> int:
    """All checks, each run whatever the one before it said; with arguments, pytest alone."""
    if arguments:
        return run(python, ("-m", "pytest", *arguments), cwd=ROOT)
    results: dict[str, tuple[int, float]] = {}
    for name, command in CHECKS.items():
        say(f"--- {name}: python {' '.join(command)}")
        started = time.monotonic()
        code = run(python, command, cwd=ROOT)
        if code == INTERRUPTED:
            return INTERRUPTED
        results[name] = (code, time.monotonic() - started)
    return summary(results)


def summary(results: Mapping[str, tuple[int, float]]) -> int:
    """Print one line per check and return 0 only if all are green."""
    say("")
    for name, (code, seconds) in results.items():
        say(f"{name:8}{'ok' if code == 0 else f'NOT OK (exit code {code})':24}{seconds:6.1f} s")
    bad = [name for name, (code, _) in results.items() if code != 0]
    say(f"not green: {', '.join(bad)}" if bad else "all checks are green")
    return 1 if bad else 0


COMMANDS: Mapping[str, Callable[[Path, Sequence[str]], int]] = {
    "setup": setup,
    "accept": accept,
    "test": test,
    "bench": bench,
}
