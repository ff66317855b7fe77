"""Where a venue is: base addresses under a name.

Rule: venues differ in addresses and TLS alone; nothing else in the feed asks which one it talks to.
"""

from __future__ import annotations

import msgspec


class Venue(msgspec.Struct, frozen=True):
    """The addresses of one venue; `control` (lock-step) and `operator` are our own venue's alone."""

    name: str
    rest: str
    ws_public: str
    ws_market: str
    tls: bool = True
    control: str = ""
    feed_kind: str = "exchange"
    operator: str = ""
    """Base of the addresses that stop and resume the market."""
    ws_private: str = ""
    """User data streams; empty where nobody trades."""


BINANCE = Venue(
    "binance",
    "https://fapi.binance.com",
    "wss://fstream.binance.com/public",
    "wss://fstream.binance.com/market",
    ws_private="wss://fstream.binance.com/private",
)
BINANCE_TESTNET = Venue(
    "binance-testnet",
    "https://demo-fapi.binance.com",
    "wss://fstream.binancefuture.com/public",
    "wss://fstream.binancefuture.com/market",
    feed_kind="testnet",
    ws_private="wss://fstream.binancefuture.com/private",
)


class Announcement(msgspec.Struct):
    """The line that a local venue prints when it is ready; other keys of it are not for the feed."""

    rest: str
    ws_public: str
    ws_market: str
    ws_private: str = ""
    control: str = ""
    feed_kind: str = ""


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
        feed_kind=venue_kind(said.feed_kind),
        operator=f"{said.rest.rstrip('/')}/control",
        ws_private=said.ws_private.rstrip("/"),
    )


def venue_kind(market: str) -> str:
    """What a feed from our own venue is called: its market's kind, and that it came over a venue."""
    return f"venue_{market}" if market else "venue"


VENUES = {venue.name: venue for venue in (BINANCE, BINANCE_TESTNET)}
"""Presets by name; `local` is made of the line that the local venue prints."""
