"""How a child process speaks to the supervisor: one JSON object per line on stdout.

Rule: it needs nothing of the engine, so that processes which only look at a run stay small.
"""

from __future__ import annotations

import sys

import msgspec

from flowguardian.execution import events as ev
from flowguardian.execution.money import decimal


def announce(event: str, **fields: object) -> None:
    """Write one line for the supervisor."""
    sys.stdout.write(msgspec.json.encode({"event": event, **fields}).decode() + "\n")
    sys.stdout.flush()


def told(row: ev.CheckpointTaken) -> str:
    """A checkpoint in one line, for people."""
    return (
        f"equity {decimal(row.equity):,.2f} USDT, Entry SUCCESS {row.entries}, "
        f"Budget Cap Applied {row.budget_caps}, Portfolio Budget BLOCK {row.budget_blocks}, "
        f"open {row.open_positions}, {health(row)}"
    )


def health(row: ev.CheckpointTaken) -> str:
    """normal, caution (entries are held back) or danger (the ledger is off)."""
    if row.ledger_difference:
        return "danger"
    return "normal" if row.trading_state is ev.TradingState.ACTIVE else "caution"
