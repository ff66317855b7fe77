"""The ledger of one account: wallet, positions, fees, funding, insurance, transfers.

Rule: pure, and written apart from the engine's books so that it can judge them. Integers in units of 1e-8
(cost of a position: Σ price·quantity in 1e-16); each amount is rounded once, against the account: fees up,
profit and funding down. After every call wallet = start + realised − fees + funding + insurance + transfers.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from flowguardian.venue.brackets import DEFAULT_LEVERAGE, UNIT, maintenance

_SQUARE = UNIT * UNIT


class Position(msgspec.Struct):
    """One symbol in one-way mode: quantity with its sign, and the exact cost of what is held."""

    symbol: str
    qty: int = 0
    cost: int = 0
    """Σ price·|quantity| of what is held, 1e-16."""
    realised: int = 0
    """Profit of all closes in this symbol, before fees."""
    changed_ns: int = 0

    @property
    def side(self) -> int:
        return (self.qty > 0) - (self.qty < 0)

    @property
    def entry_price(self) -> int:
        """Mean price of what is held, rounded down; 0 when flat."""
        return self.cost // abs(self.qty) if self.qty else 0

    def notional(self, mark: int) -> int:
        """|quantity| × mark, rounded up."""
        return -(-abs(self.qty) * mark // UNIT)

    def unrealised(self, mark: int) -> int:
        """Profit if closed at a mark, rounded down."""
        return (abs(self.qty) * mark - self.cost) * self.side // UNIT


class Booked(NamedTuple):
    """What one fill did to the wallet."""

    fee: int
    realised: int


class Account(msgspec.Struct):
    """All money of one account (USDT, 1e-8)."""

    start: int
    wallet: int
    realised: int = 0
    fees: int = 0
    funding: int = 0
    insurance: int = 0
    transferred: int = 0
    """What its owner put in, less what was taken out."""
    positions: dict[str, Position] = {}
    leverage: dict[str, int] = {}
    margin_types: dict[str, str] = {}
    dual_side: bool = False
    changed_ns: int = 0
    """When the wallet changed last, its opening included."""

    # ---- settings

    def leverage_of(self, symbol: str) -> int:
        return self.leverage.get(symbol, DEFAULT_LEVERAGE)

    def position(self, symbol: str) -> Position:
        """The position of a symbol; a flat one where nothing was held yet (not kept until it is filled)."""
        return self.positions.get(symbol) or Position(symbol)

    # ---- money

    def fill(self, symbol: str, side: int, qty: int, price: int, fee: int, at_ns: int) -> Booked:
        """Apply one fill: side +1 bought, −1 sold; the fee is taken as given (see `fee_of`).

        A fill beyond the position closes it and opens the rest on the other side at the same price.
        """
        held = self.positions.setdefault(symbol, Position(symbol))
        closed = min(qty, abs(held.qty)) if held.side == -side else 0
        realised = 0
        if closed:
            cost = held.cost if closed == abs(held.qty) else held.cost * closed // abs(held.qty)
            realised = (price * closed - cost) * held.side // UNIT
            held.cost -= cost
            held.qty += side * closed
        opened = qty - closed
        held.cost += price * opened
        held.qty += side * opened
        held.realised += realised
        held.changed_ns = at_ns
        self.realised += realised
        self.fees += fee
        self.wallet += realised - fee
        self.changed_ns = at_ns
        return Booked(fee, realised)

    def settle(self, symbol: str, mark: int, rate: int, at_ns: int) -> int:
        """Funding of a position at a mark and a rate (1e-8): what came in, negative when it was paid."""
        held = self.position(symbol)
        amount = -held.qty * mark * rate // _SQUARE
        self.funding += amount
        self.wallet += amount
        self.changed_ns = at_ns
        return amount

    def transfer(self, amount: int, at_ns: int) -> None:
        """The owner moves money in, or out when it is negative."""
        self.transferred += amount
        self.wallet += amount
        self.changed_ns = at_ns

    def insure(self) -> int:
        """The insurance fund takes over what a liquidation left below zero; returns what it paid."""
        if self.wallet >= 0:
            return 0
        paid = -self.wallet
        self.insurance += paid
        self.wallet = 0
        return paid

    def equity(self, marks: dict[str, int]) -> int:
        """Wallet and unrealised profit at marks by symbol."""
        return self.wallet + sum(one.unrealised(marks[one.symbol]) for one in self.open_positions)

    def maintenance(self, marks: dict[str, int]) -> int:
        """Maintenance margin of all positions at marks by symbol."""
        return sum(maintenance(one.symbol, one.notional(marks[one.symbol])) for one in self.open_positions)

    @property
    def open_positions(self) -> list[Position]:
        return [one for one in self.positions.values() if one.qty]


def fee_of(price: int, qty: int, rate: int) -> int:
    """The fee of a fill at a rate (1e-8), rounded up once from the exact product."""
    return -(-price * qty * rate // _SQUARE)


def opened(balance: int, at_ns: int = 0) -> Account:
    """A new account with a balance (USDT, 1e-8)."""
    return Account(start=balance, wallet=balance, changed_ns=at_ns)
