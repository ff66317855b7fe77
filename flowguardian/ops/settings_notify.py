"""The settings of messages to people: where they go, what is told, how often it is tried.

Rule: without an address nothing is started; an address is a secret and is never shown, logged or hashed.
"""

from __future__ import annotations

from typing import Literal

from flowguardian.ops.settings_types import Block, Number, Texts, number, option


class Notify(Block):
    urls: Texts = option(
        (), "Where to send messages, as apprise URLs; empty = off. Never shown.", secret=True
    )
    incidents: Literal["WARNING", "ERROR", "CRITICAL"] = option(
        "WARNING", "The least severity of an incident that is told."
    )
    checkpoints: bool = option(True, "Tell the named checkpoints (M5 to H12, END).")
    watchdog_seconds: Number = number(
        "30", "A supervisor without a sign of life for this long is told; a dead one within seconds.", "s",
        ge=5, le=45,
    )  # fmt: skip
    same_incident_seconds: Number = number(
        "600", "Equal incidents within this time are one message; the next one says how many.", "s", ge=0
    )
    send_timeout_seconds: Number = number(
        "10", "A channel that has not answered by then has failed this attempt.", "s", ge=1, le=60
    )
    retry_delay_seconds: Number = number(
        "5", "Wait after the first failed attempt; it doubles.", "s", gt=0, le=3600
    )
    longest_retry_delay_seconds: Number = number("300", "The doubling stops here.", "s", gt=0, le=3600)
    max_attempts: int = option(12, "Attempts per message and channel before it is given up.", ge=1, le=1000)
    max_per_minute: int = option(
        20, "Messages per channel and minute; an alarm or a verdict does not wait for it.", "1/min", ge=1
    )
    max_waiting: int = option(
        1000, "Messages waiting per channel; beyond that the oldest is dropped.", "messages", ge=10,
        le=100_000,
    )  # fmt: skip
    drain_seconds: Number = number(
        "20", "At the end of a run, how long what still waits may take to be sent.", "s", ge=0, le=300
    )
    linger_seconds: Number = number(
        "600", "After the supervisor is gone, how long its alarm is tried before the notifier ends.", "s",
        ge=10, le=86_400,
    )  # fmt: skip
