"""Errors of the project as people should read them: by the name of the error, without importing its module.

Rule: an error that is named here is the user's to put right and has an exit code; any other one is a defect
of this program, is shown whole, and never looks like a verdict.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any

from flowguardian.cli.output import EXIT_DEFECT, EXIT_FAIL, EXIT_PREFLIGHT, EXIT_USAGE, CliError

KNOWN: dict[str, tuple[str, str, int]] = {
    "ConfigError": (
        "the configuration cannot be used", "correct it, or see `flowguardian config show --help`",
        EXIT_USAGE,
    ),
    "ManifestError": ("this is not a run that can be used", "name a run directory or a run id", EXIT_USAGE),
    "ChainBroken": (
        "the journal was changed or cut after it was written", "use the original run folder", EXIT_FAIL,
    ),
    "ChainError": ("the journal cannot be read", "name a whole run directory", EXIT_USAGE),
    "UnknownRow": (
        "the journal is from a newer version", "read it with the version that wrote it", EXIT_USAGE,
    ),
    "NoTape": ("there is nothing to verify or judge", "see `flowguardian why` and `explain`", EXIT_USAGE),
    "TapeError": ("the tape cannot be read", "use the original run folder", EXIT_USAGE),
    "DatasetError": ("the market data cannot be used", "see `flowguardian data describe FILE`", EXIT_USAGE),
    "MarketSpecError": (
        "the market cannot be opened as asked", "choose a window that the data covers", EXIT_USAGE,
    ),
    "MarketError": ("the market data cannot be used", "see `flowguardian data describe FILE`", EXIT_USAGE),
    "UnknownInstrument": ("a symbol is not known", "correct the universe", EXIT_USAGE),
    "UnknownStrategy": ("a strategy is not known", "correct its name or path", EXIT_USAGE),
    "StrategyError": ("a strategy cannot be used", "correct its file or its parameters", EXIT_USAGE),
    "NotWritable": (
        "preflight is red: the run directory cannot be written", "choose another folder, or its permissions",
        EXIT_PREFLIGHT,
    ),
    "LockHeld": (
        "this run is in the hands of another process",
        "wait for it to end, or end it with `flowguardian stop`, then start again", EXIT_USAGE,
    ),
    "PackError": ("the pack cannot be made or used", "see `flowguardian pack --help`", EXIT_USAGE),
    "LockError": ("the lock of the run cannot be used", "check the folder and its permissions", EXIT_USAGE),
    "CommandError": ("the command did not reach the run", "check the run directory", EXIT_USAGE),
    "UnknownVenue": ("there is no such venue", "name a known one, or the address of one", EXIT_USAGE),
    "NotADuration": ("a duration cannot be read", "write it like 12h, 60m, 90s or 1h30m", EXIT_USAGE),
    "UsageError": ("the command was not understood", "add --help to see what it takes", EXIT_USAGE),
    "ClickException": ("the command was not understood", "add --help to see what it takes", EXIT_USAGE),
    "PermissionError": ("a file may not be read or written", "check its owner and permissions", EXIT_USAGE),
}  # fmt: skip
"""Error class -> what happened, what to do, exit code; a class stands for those made from it as well."""


def explain_failure(error: Exception) -> CliError:
    """The error as what, where, why, fix."""
    if isinstance(error, CliError):
        return error
    for kind in type(error).__mro__:
        if kind.__name__ in KNOWN:
            what, fix, code = KNOWN[kind.__name__]
            return CliError(what, where=_where(error), why=_why(error), fix=fix, code=code)
    return CliError(
        f"a defect of this program: {type(error).__name__}",
        why="".join(traceback.format_exception(error)).rstrip(),
        fix="report this with the command and the lines above",
        code=EXIT_DEFECT,
    )


def _where(error: Exception) -> str:
    """The place of a single problem with the configuration; a usage error names its command."""
    problems: Sequence[Any] = getattr(error, "problems", ())
    if len(problems) == 1:
        return str(problems[0].where)
    context = getattr(error, "ctx", None)
    return str(context.command_path) if context is not None else ""


def _why(error: Exception) -> str:
    problems: Sequence[Any] = getattr(error, "problems", ())
    if len(problems) == 1:
        return str(problems[0]).removeprefix(f"{problems[0].where}: ")
    say = getattr(error, "format_message", None)
    return str(say()) if callable(say) else str(error)
