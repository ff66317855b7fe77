"""Everything the venue knows of the account: ledger, orders, fills, income, counters, keys of streams.

Rule: pure; whoever changes a record says so by `changed`, and `changes` gives each changed record once, so
that a log of them (venue/trading_log.py) makes the same state again. The oldest closed orders are forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from flowguardian.venue import orders
from flowguardian.venue.account import Account
from flowguardian.venue.orders import AlgoOrder, Income, Order, UserTrade

MOST_KEPT = 100_000
"""Orders, conditional orders, fills and income lines, each."""


class Counters(msgspec.Struct):
    """The last ids given, and the market time up to which the market was matched."""

    order: int = 1_000_000
    algo: int = 2_000_000
    trade: int = 3_000_000
    income: int = 4_000_000
    seen_ns: int = 0


class StreamKey(msgspec.Struct):
    """The listen key of the account; empty where there is none."""

    key: str = ""
    expires_ns: int = 0
    made: int = 0
    """How many were made: the next one is another."""


class Countdown(msgspec.Struct):
    """When all open orders of a symbol are cancelled unless the client speaks again; 0 = never."""

    symbol: str
    due_ns: int
    asked_ms: int


Record = Account | Order | AlgoOrder | UserTrade | Income | Counters | StreamKey | Countdown
_KINDS: dict[str, type[Record]] = {
    "account": Account, "order": Order, "algo": AlgoOrder, "trade": UserTrade, "income": Income,
    "counters": Counters, "stream_key": StreamKey, "countdown": Countdown,
}  # fmt: skip
_NAMES = {kind: name for name, kind in _KINDS.items()}


class State:
    """The records, and indexes over the open ones."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.counters = Counters()
        self.stream_key = StreamKey()
        self.orders: dict[int, Order] = {}
        self.algos: dict[int, AlgoOrder] = {}
        self.trades: dict[int, UserTrade] = {}
        self.incomes: dict[int, Income] = {}
        self.countdowns: dict[str, Countdown] = {}
        self.open: dict[str, dict[int, Order]] = {}
        self.open_algos: dict[str, dict[int, AlgoOrder]] = {}
        self._by_client: dict[tuple[str, str], int] = {}
        self._algo_by_client: dict[str, int] = {}
        self._dirty: dict[tuple[str, object], Record] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing is there that a move of the market could change."""
        return not (self.open or self.open_algos or self.account.open_positions or self.countdowns)

    # ---- ids

    def next_order(self) -> int:
        self.counters.order += 1
        return self.counters.order

    def next_algo(self) -> int:
        self.counters.algo += 1
        return self.counters.algo

    def next_trade(self) -> int:
        self.counters.trade += 1
        return self.counters.trade

    def add_income(self, symbol: str, kind: str, amount: int, at_ns: int, trade_id: int = 0) -> None:
        self.counters.income += 1
        self.changed(Income(self.counters.income, symbol, kind, amount, at_ns, trade_id))

    # ---- records

    def changed(self, record: Record) -> None:
        """Take a new or changed record; the account and the counters go with every one."""
        self._take(record)
        self._dirty["counters", 0] = self.counters
        self._dirty["account", 0] = self.account
        self._dirty[_NAMES[type(record)], getattr(record, "id", getattr(record, "symbol", 0))] = record

    def changes(self) -> list[tuple[str, Any]]:
        """What changed since this was asked last, as plain values by kind."""
        found = [(name, msgspec.to_builtins(record)) for (name, _), record in self._dirty.items()]
        self._dirty.clear()
        return found

    def everything(self) -> list[tuple[str, Any]]:
        """All records as they stand, as plain values by kind."""
        every: list[Record] = [
            self.account, self.counters, self.stream_key, *self.orders.values(), *self.algos.values(),
            *self.trades.values(), *self.incomes.values(), *self.countdowns.values(),
        ]  # fmt: skip
        return [(_NAMES[type(record)], msgspec.to_builtins(record)) for record in every]

    def load(self, changes: Iterable[tuple[str, Any]]) -> None:
        """Apply what `changes` gave. Raises msgspec.ValidationError for anything else."""
        for name, value in changes:
            self._take(msgspec.convert(value, _KINDS[name]))

    def _take(self, record: Record) -> None:
        match record:
            case Account():
                self.account = record
            case Counters():
                self.counters = record
            case StreamKey():
                self.stream_key = record
            case Order():
                self._take_order(record)
            case AlgoOrder():
                self._take_algo(record)
            case UserTrade():
                self.trades[record.id] = record
                _forget(self.trades)
            case Income():
                self.incomes[record.id] = record
                _forget(self.incomes)
            case Countdown():
                self.countdowns[record.symbol] = record
                self.countdowns = {name: one for name, one in self.countdowns.items() if one.due_ns}

    def _take_order(self, order: Order) -> None:
        self.orders[order.id] = order
        key = order.symbol, order.client_id
        self._by_client[key] = max(order.id, self._by_client.get(key, 0))
        _index(self.open, order, is_open=order.status in orders.OPEN)
        gone = _forget(self.orders, orders.OPEN)
        if gone is not None and self._by_client.get((gone.symbol, gone.client_id)) == gone.id:
            del self._by_client[gone.symbol, gone.client_id]

    def _take_algo(self, algo: AlgoOrder) -> None:
        self.algos[algo.id] = algo
        self._algo_by_client[algo.client_id] = max(algo.id, self._algo_by_client.get(algo.client_id, 0))
        _index(self.open_algos, algo, is_open=algo.status == orders.NEW)
        gone = _forget(self.algos, frozenset({orders.NEW}))
        if gone is not None and self._algo_by_client.get(gone.client_id) == gone.id:
            del self._algo_by_client[gone.client_id]

    # ---- looking up

    def open_orders(self, symbol: str = "") -> list[Order]:
        """Open orders, oldest first."""
        found = [self.open.get(symbol, {})] if symbol else list(self.open.values())
        return sorted((order for each in found for order in each.values()), key=lambda order: order.id)

    def open_conditionals(self, symbol: str = "") -> list[AlgoOrder]:
        """Conditional orders that wait for their trigger, oldest first."""
        found = [self.open_algos.get(symbol, {})] if symbol else list(self.open_algos.values())
        return sorted((algo for each in found for algo in each.values()), key=lambda algo: algo.id)

    def find(self, symbol: str, order_id: int, client_id: str) -> Order | None:
        """By the venue's id, else the latest of a symbol with the client's id."""
        order = self.orders.get(order_id or self._by_client.get((symbol, client_id), 0))
        return order if order is not None and order.symbol == symbol else None

    def find_algo(self, algo_id: int, client_id: str) -> AlgoOrder | None:
        """By the venue's id, else the latest with the client's id."""
        return self.algos.get(algo_id or self._algo_by_client.get(client_id, 0))


def _index(index: dict[str, dict[int, Any]], record: Order | AlgoOrder, *, is_open: bool) -> None:
    if is_open:
        index.setdefault(record.symbol, {})[record.id] = record
        return
    of_symbol = index.get(record.symbol)
    if of_symbol is not None:
        of_symbol.pop(record.id, None)
        if not of_symbol:
            del index[record.symbol]


def _forget(kept: dict[int, Any], open_statuses: frozenset[str] = frozenset()) -> Any:
    """The oldest record that is not open goes when there are too many; returns it."""
    if len(kept) <= MOST_KEPT:
        return None
    oldest = next((k for k, one in kept.items() if getattr(one, "status", "") not in open_statuses), None)
    return None if oldest is None else kept.pop(oldest)
