"""`init` and `config show`: a configuration to start from, and the one that is in force.

Rule: what is shown is what a run would use: the same loader, each value with its origin, secrets never.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowguardian.cli import output
from flowguardian.cli.language import Say, checked, choose
from flowguardian.cli.locate import JsonOption, LanguageOption

if TYPE_CHECKING:
    from flowguardian.ops.loading import Loaded

config = typer.Typer(rich_markup_mode=None)
FIRST = Path("flowguardian.yml")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="A YAML file; without it the defaults.", show_default=False),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", help="KEY=VALUE over the file, like risk.max_positions=3.", show_default=False),
]


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = FIRST,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if there is one.")] = False,
    lang: LanguageOption = "",
    as_json: JsonOption = False,
) -> int:
    """Write a commented configuration with every key and its default, and the schema for editors."""
    from flowguardian.ops.init_config import write_config

    say = Say(choose(checked(lang)))
    written = write_config(path, force=force)
    if as_json:
        output.print_json({"written": [str(file) for file in written]})
        return output.EXIT_OK
    for file in written:
        print(say("written", path=file))
    print(say("next_command", command=f"flowguardian config show --config {path}"))
    return output.EXIT_OK


@config.callback()
def _config() -> None:
    """The effective configuration."""


@config.command("show")
def show(
    config_file: ConfigOption = None,
    overrides: SetOption = None,
    lang: LanguageOption = "",
    as_json: JsonOption = False,
) -> int:
    """Show every effective value with its origin, the hashes, and the limits that can never bind."""
    from flowguardian.ops.loading import load

    say = Say(choose(checked(lang)))
    loaded = load(config_file, overrides or ())
    if as_json:
        output.print_json(shown(loaded))
        return output.EXIT_OK
    print(f"config_hash   {loaded.config_hash}\ntrading_hash  {loaded.trading_hash}\n")
    rows = [[key, _value(value), loaded.origins[key]] for key, value in _leaves(loaded)]
    print(output.table(rows, indent=""))
    for title, lines in (("shadowed", _shadow_lines(loaded)), ("warnings", _other_warnings(loaded))):
        if lines:
            print(f"\n{say(title)}")
            print("\n".join(f"  {line}" for line in lines))
    return output.EXIT_OK


def shown(loaded: Loaded) -> dict[str, Any]:
    """The object of `config show --json`."""
    from flowguardian.cli.answers import usdt

    return {
        "config_hash": loaded.config_hash,
        "trading_hash": loaded.trading_hash,
        "file": str(loaded.path) if loaded.path else None,
        "effective": loaded.effective,
        "origins": loaded.origins,
        "shadowed": [
            {"limit": row.limit, "value": usdt(row.value), "by": row.by, "effective": usdt(row.effective)}
            for row in loaded.shadows
        ],
        "warnings": list(loaded.warnings),
    }


def _leaves(loaded: Loaded) -> list[tuple[str, Any]]:
    from flowguardian.ops.merging import leaves

    return [(".".join(path), value) for path, value in leaves(loaded.effective)]


def _value(value: Any) -> str:
    from flowguardian.ops.settings_schema import value_text

    return value_text(value)


def _shadow_lines(loaded: Loaded) -> list[str]:
    from flowguardian.ops.limits import describe

    return [describe(shadow) for shadow in loaded.shadows]


def _other_warnings(loaded: Loaded) -> list[str]:
    shadows = _shadow_lines(loaded)
    return [warning for warning in loaded.warnings if warning not in shadows]
