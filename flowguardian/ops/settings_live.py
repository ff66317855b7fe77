"""The settings of live and shadow runs, beside those that every run trades by.

Rule: nothing here makes a run trade more than its paper twin; a limit here can only be tighter.
"""

from __future__ import annotations

from flowguardian.ops.settings_types import Block, Number, number, option


class Live(Block):
    max_notional_usdt: Number = number(
        "1000", "Largest value of all open positions and pending entries of a live run.", "USDT", gt=0
    )
    duration_hours: Number = number(
        "720", "Run time after which a live run ends by itself; `stop` ends it at any moment.",
        "h", gt=0, le=8784,
    )  # fmt: skip
    max_acceptance_age_days: int = option(
        14,
        "A live run on an exchange needs a PASS of real time there that is not older.",
        "days",
        ge=1,
        le=14,
    )
    keyring_service: str = option(
        "flowguardian",
        "Where the system's keyring has `api_key` and `api_secret`; the environment comes first.",
    )
    max_send_age_seconds: Number = number(
        "1", "An entry that could not leave this soon after its decision is not sent.", "s", gt=0, le=5
    )
    naked_seconds: Number = number(
        "5", "A position without a stop at the venue for longer is an incident.", "s", gt=0, le=5
    )
    reconcile_seconds: Number = number(
        "10", "Time between two comparisons of the account with the books.", "s", ge=1, le=300
    )
    evidence_seconds: Number = number(
        "300", "How often an account that agrees is said in a row.", "s", ge=1, le=3600
    )
    stop_gap_pct: Number = number(
        "0.1", "How far beyond the engine's stop the one at the venue rests.", "%", ge=0, le=5
    )
