"""A trading half without sockets for tests: two contracts, an account, and market rows made by hand.

Rule: nothing here is random or timed; a test says every price that the account meets.
"""

from __future__ import annotations

from typing import Any

from flowguardian.market.instruments import Instrument, instrument_for
from flowguardian.market.records import SECOND_NS, Kind
from flowguardian.venue.account import opened
from flowguardian.venue.admission import AlgoRequest, OrderRequest
from flowguardian.venue.conditional import Conditionals
from flowguardian.venue.forced import Forced
from flowguardian.venue.state import State
from flowguardian.venue.trading import Fees, Trading

UNIT = 100_000_000
SYMBOLS = ("BTCUSDT", "LTCUSDT")


class Contracts:
    """What is listed."""

    def __init__(self) -> None:
        self.symbols: tuple[str, ...] = SYMBOLS
        self.instruments: list[Instrument] = [instrument_for(symbol) for symbol in SYMBOLS]
        self.index = {symbol: number for number, symbol in enumerate(SYMBOLS)}


class SmallDesk:
    """Account, matching, conditional orders and the venue's own doings; `events` is what was told."""

    def __init__(self, balance: int = 10_000, slippage: int | None = None) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.state = State(opened(balance * UNIT))
        self.trading = Trading(Contracts(), self.state, Fees(), self._told, slippage)
        self.conditionals = Conditionals(self.trading)
        self.forced = Forced(self.trading, self.conditionals)
        self.now_ns = 1_700_000_000 * SECOND_NS
        self._number = 0

    def _told(self, name: str, payload: dict[str, Any]) -> None:
        self.events.append((name, payload))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.events]

    # ---- the market

    def quote(self, bid: float, ask: float, size: float = 1.0, symbol: str = SYMBOLS[0]) -> None:
        self._row(Kind.TOP, symbol, units(bid), units(size), units(ask), units(size))

    def print(self, price: float, size: float = 1.0, symbol: str = SYMBOLS[0]) -> None:
        """A trade."""
        self._row(Kind.TRADE, symbol, units(price), units(size))
        self.conditionals.priced(symbol, units(price), self.now_ns)
        self.forced.watch(self.now_ns)

    def _row(self, kind: Kind, symbol: str, a: int, b: int, c: int = 0, d: int = 0) -> None:
        self._number += 1
        self.now_ns += SECOND_NS // 10
        index = SYMBOLS.index(symbol)
        self.trading.row((int(kind), 0, index, 0, 0, self.now_ns, a, b, c, d, self._number))

    # ---- orders

    def order(self, side: int, qty: float, price: float = 0, *, symbol: str = SYMBOLS[0], **more: Any) -> Any:
        """A market order, or a limit one at a price."""
        request = OrderRequest(
            symbol, side, "LIMIT" if price else "MARKET", "GTC", units(qty), units(price), "", False,
            "EXPIRE_MAKER", 0, False,
        )  # fmt: skip
        return self.trading.place(request._replace(**more), self.now_ns).order

    def stop(self, side: int, trigger: float, qty: float = 0, **more: Any) -> Any:
        """A stop at the market; without a quantity it closes the position."""
        request = AlgoRequest(
            SYMBOLS[0], side, "STOP_MARKET", "GTC", units(qty), 0, units(trigger), "", not qty, not qty,
            "CONTRACT_PRICE", False, "EXPIRE_MAKER", 0,
        )  # fmt: skip
        return self.conditionals.place(request._replace(**more), self.now_ns)

    @property
    def held(self) -> float:
        return self.state.account.position(SYMBOLS[0]).qty / UNIT


def units(value: float) -> int:
    return round(value * UNIT)
