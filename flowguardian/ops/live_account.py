"""Looks at an account of an exchange once, before a run is made for it: keys, modes, what is in it."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from flowguardian.brokers.account_state import Standing, standing_of
from flowguardian.brokers.answers import Unreadable
from flowguardian.brokers.signed import Keys, OutcomeUnknown, Refused, Signed
from flowguardian.feeds.limits import Limiter
from flowguardian.feeds.venues import VENUES
from flowguardian.ops.checked import OK, RED, checked
from flowguardian.ops.checks_account import Line, account_lines
from flowguardian.ops.keys import KeysMissing, keys_of_owner
from flowguardian.ops.registry import state_directory
from flowguardian.ops.segments import HostClock
from flowguardian.ops.settings import Settings

_NS_PER_MS = 1_000_000


class Looked(NamedTuple):
    """Lines for people, and the wallet (1e-8 USDT); a red line is among them where it could not be read."""

    lines: list[Line]
    wallet: int


def look_at(venue: str, settings: Settings) -> Looked:
    """How the account of a venue's preset stands now."""
    try:
        keys, place = keys_of_owner(settings.live.keyring_service)
    except KeysMissing as error:
        return Looked([("keys", checked(RED, "keys_missing", why=str(error)))], 0)
    lines: list[Line] = [("keys", checked(OK, "keys_found", place=place))]
    try:
        found = asyncio.run(_standing(venue, keys, settings))
    except (Refused, OutcomeUnknown, Unreadable) as error:
        refused = isinstance(error, Refused) and error.code
        why = "account_unreadable" if refused else "account_away"
        return Looked([*lines, ("account mode", checked(RED, why, why=str(error)))], 0)
    return Looked([*lines, *account_lines(found, settings)], found.wallet)


async def _standing(venue: str, keys: Keys, settings: Settings) -> Standing:
    clock = HostClock()
    # A ban is of this host's address, whatever earned it.
    limiter = Limiter(state_directory() / f"limits-{venue}.json", share=float(settings.feed.weight_share))
    signed = Signed(
        VENUES[venue].rest, keys, limiter,
        venue_ns=clock.wall_ns, run_ms=lambda: clock.wall_ns() // _NS_PER_MS,
    )  # fmt: skip
    try:
        return await standing_of(signed, settings.universe.symbols)
    finally:
        await signed.close()
