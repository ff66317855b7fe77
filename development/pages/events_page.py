"""`docs/reference/events.md`: every kind of row a journal holds, from the classes that write it.

Rule: names, types and docstrings come from `flowguardian/execution/events.py`; only units are said here,
and a number without a unit is an error.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from flowguardian.execution import events as ev

PAGE = Path("docs/reference/events.md")

MONEY, PRICE, QUANTITY = "USDT × 1e-8", "price × 1e-8", "quantity × 1e-8"
UNITS: dict[str, str] = {
    **dict.fromkeys(
        (
            "allocated", "amount", "available", "balance", "basis", "cap", "day_start_equity", "equity",
            "exposure", "fee", "fees", "funding", "ledger_difference", "peak_equity", "realised", "reserved",
            "room", "start_equity", "unrealised", "used", "wallet", "wanted",
        ),
        MONEY,
    ),
    **dict.fromkeys(
        (
            "ask", "bid", "level", "limit_price", "mark", "price", "stop", "stop_distance", "target1",
            "target1_distance", "target2", "target2_distance", "trail_distance",
        ),
        PRICE,
    ),
    **dict.fromkeys(("filled", "qty"), QUANTITY),
    **dict.fromkeys(
        (
            "allowed", "bars_seen", "budget_blocks", "budget_caps", "check_blocks", "entries", "evaluated",
            "lost", "open_positions", "orders", "positions", "reduced", "refusals", "refused", "shadow",
            "signals", "slots",
        ),
        "count",
    ),
    **dict.fromkeys(("code", "command_id", "fill_id", "order_id", "seed", "segment", "tran_id"), "number"),
    "marks": PRICE,
    "rate": "ratio × 1e-8",
    "side": "+1 long or buy, -1 short or sell",
}  # fmt: skip
"""Units by field name; times end in `_ns` and are nanoseconds."""

SPECIAL: dict[tuple[str, str], str] = {
    ("PositionReduced", "closed"): QUANTITY,
    ("CheckpointTaken", "closed"): "count",
    ("LimitShadowed", "value"): "USDT or positions × 1e-8",
    ("LimitShadowed", "effective"): "USDT or positions × 1e-8",
}
"""Fields whose unit depends on the row."""

GROUPS: tuple[tuple[str, str, tuple[type[ev.Row], ...]], ...] = (
    (
        "Facts, exogenous",
        "What came from outside. A replay reads these back from the journal.",
        ev.EXOGENOUS,
    ),
    (
        "Facts, derived",
        "What follows from the tape. A replay must reproduce them.",
        ev.DERIVED,
    ),
    (
        "Decisions",
        "What the engine concluded from the fact before them. A replay must reproduce them.",
        ev.DECISIONS,
    ),
)

HEAD = """# Rows of the journal

Generated from `flowguardian/execution/events.py` by `python -m development.pages`; do not edit.

`journal.db` is SQLite with one table, `rows (seq, ts_ns, kind, body, hash)`. `kind` names a section of this
page, `body` is its fields as JSON in the order given here, `hash` is the sha256 of the hash before it,
`seq`, `ts_ns`, `kind` and `body`. A fact and the decisions that follow from it are one transaction with one
stamp. Every row has `ts_ns`, the run-clock stamp of its fact; it is left out below.

Prices, quantities and money are whole numbers in units of 1e-8: 4,173.93 USDT is written 417393000000.
Times are nanoseconds since 1970, UTC. How to ask questions: [read the journal with
SQLite](../guides/read-the-journal-with-sqlite.md). The codes of refusals have [their own
page](reason-codes.md).
"""


def page_text() -> str:
    """The whole page."""
    parts = [HEAD, _overview()]
    for title, about, kinds in GROUPS:
        parts.append(f"## {title}\n\n{about}\n")
        parts += [_section(kind) for kind in kinds]
    parts.append("## Parts of rows\n")
    parts += [_section(part) for part in _parts()]
    parts.append("## Words with fixed values\n")
    parts += [_words(words) for words in (ev.ExitReason, ev.Purpose, ev.TradingState, ev.Command)]
    return "\n".join(parts)


def _parts() -> tuple[type[msgspec.Struct], ...]:
    return (ev.GuardCount, ev.BudgetLine, *get_args(get_type_hints(ev.InstrumentsSet)["instruments"])[:1])


def _overview() -> str:
    rows = ["| kind | fact or decision | what |", "|---|---|---|"]
    for title, _, kinds in GROUPS:
        group = title.lower().replace("facts", "fact").replace("decisions", "decision")
        rows += [
            f"| [{kind.__name__}](#{kind.__name__.lower()}) | {group} | {_first(kind)} |" for kind in kinds
        ]
    return "\n".join(rows) + "\n"


def _first(kind: type) -> str:
    return str(kind.__doc__).strip().splitlines()[0].replace("<", "\\<")


def _section(kind: type[msgspec.Struct]) -> str:
    about = "\n".join(line.strip() for line in str(kind.__doc__).strip().splitlines()).replace("<", "\\<")
    fields = list(_fields(kind))
    if not fields:
        return f"### {kind.__name__}\n\n{about}\n"
    return "\n".join(
        [f"### {kind.__name__}", "", about, "", "| field | type | unit |", "|---|---|---|", *fields, ""]
    )


def _fields(kind: type[msgspec.Struct]) -> Iterator[str]:
    hints = get_type_hints(kind)
    for name in kind.__struct_fields__:
        if name != "ts_ns":
            yield f"| `{name}` | {_type(hints[name])} | {unit_of(kind.__name__, name, hints[name])} |"


def unit_of(kind: str, name: str, hint: Any) -> str:
    """The unit of a field; raises KeyError for a whole number nobody gave one."""
    if get_origin(hint) is tuple:
        return UNITS[name] if get_args(hint)[0] is int else ""
    if hint is not int:
        return ""
    if name.endswith("_ns"):
        return "ns"
    if kind == "Instrument":
        return {"tick_size": PRICE, "min_notional": MONEY}.get(name, QUANTITY)
    return SPECIAL.get((kind, name)) or UNITS[name]


def _type(hint: Any) -> str:
    if get_origin(hint) is tuple:
        return f"list of {_type(get_args(hint)[0])}"
    if get_origin(hint) is types.UnionType:
        return " or ".join(_type(each) for each in get_args(hint))
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        target = "reason-codes.md" if hint is ev.Reason else f"#{hint.__name__.lower()}"
        return f"[{hint.__name__}]({target})"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    words = {"int": "whole number", "float": "number", "str": "text", "bool": "true or false", "Raw": "JSON"}
    return words[hint.__name__]


def _words(words: type[StrEnum]) -> str:
    values = ", ".join(f"`{word.value}`" for word in words)
    return f"### {words.__name__}\n\n{_first(words)}\n\n{values}\n"
