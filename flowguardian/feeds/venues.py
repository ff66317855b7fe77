"""Where a venue is: base addresses under a name.

Rule: venues differ in addresses and TLS alone; nothing else in the feed asks which one it talks to.
"""

from __future__ import annotations

import msgspec


class Venue(msgspec.Struct, frozen=True):
    """The addresses of one venue; `control` is the lock-step socket of our own, empty elsewhere."""

    name: str
    rest: str
    ws_public: str
    ws_market: str
    tls: bool = True
    control: str = ""
    feed_kind: str = "exchange"


BINANCE = Venue(
    "binance",
    "https://fapi.binance.com",
    "wss://fstream.binance.com/public",
    "wss://fstream.binance.com/market",
)
BINANCE_TESTNET = Venue(
    "binance-testnet",
    "https://demo-fapi.binance.com",
    "wss://fstream.binancefuture.com/public",
    "wss://fstream.binancefuture.com/market",
    feed_kind="testnet",
)


class Announcement(msgspec.Struct):
    """The line that a local venue prints when it is ready; other keys of it are not for the feed."""

    rest: str
    ws_public: str
    ws_market: str
    control: str = ""


def local(line: str | bytes) -> Venue:
    """The venue of its own ready line. Raises msgspec.DecodeError when the line is none."""
    said = msgspec.json.decode(line, type=Announcement)
    return Venue(
        "local",
        said.rest.rstrip("/"),
        said.ws_public.rstrip("/"),
        said.ws_market.rstrip("/"),
        tls=said.rest.startswith("https:"),
        control=said.control,
        feed_kind="local",
    )


VENUES = {venue.name: venue for venue in (BINANCE, BINANCE_TESTNET)}
"""Presets by name; `local` is made of the line that the local venue prints."""
