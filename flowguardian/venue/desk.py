"""The trading half put together: account, matching, conditional orders, faults, stream keys and the log.

Rule: whatever changes the account goes through here and is in the log before anybody hears of it. Market
rows count once: a market that goes back shows rows again, and the account does not live through them twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec

from flowguardian.market.records import SECOND_NS, Flag, Kind
from flowguardian.venue import orders, user_events
from flowguardian.venue.account import opened
from flowguardian.venue.brackets import DEFAULT_LEVERAGE, UNIT, highest_leverage
from flowguardian.venue.conditional import Conditionals
from flowguardian.venue.faults import Fault
from flowguardian.venue.forced import Forced
from flowguardian.venue.market import RowTuple, VenueMarket
from flowguardian.venue.refusals import refuse
from flowguardian.venue.shapes import MILLISECOND_NS
from flowguardian.venue.signing import Keys
from flowguardian.venue.state import State, StreamKey
from flowguardian.venue.trading import Fees, Trading
from flowguardian.venue.trading_faults import TradingFaults
from flowguardian.venue.trading_log import Changes, LedgerUnusable, TradingLog

DEFAULT_BALANCE = 10_000 * UNIT
KEY_NS = 3600 * SECOND_NS
"""A listen key is good for an hour after it was made or kept alive."""
_TRADE, _TOP, _MARK, _CLOCK = int(Kind.TRADE), int(Kind.TOP), int(Kind.MARK), int(Kind.CLOCK)
_FUNDING = int(Flag.FUNDING)
_CATCH_UP_NS = 3600 * SECOND_NS
Send = Callable[[str, str, dict[str, Any]], None]
"""Listen key, name of the event, payload."""


class Desk:
    """One account on one market."""

    def __init__(
        self, market: VenueMarket, faults: TradingFaults, *, keys: Keys, balance: int = DEFAULT_BALANCE,
        leverage: int = DEFAULT_LEVERAGE, fees: Fees | None = None, slippage: int | None = None,
        log: TradingLog | None = None,
    ) -> None:  # fmt: skip
        """Raises LedgerUnusable where the log is none of this market's account."""
        self.market, self.faults = market, faults
        self.log = log or TradingLog(None)
        self.keys = self.log.keys or keys
        self.state = State(opened(balance, market.start_ns))
        if leverage != DEFAULT_LEVERAGE:
            allowed = {name: min(leverage, highest_leverage(name)) for name in market.symbols}
            self.state.account.leverage.update(allowed)
        self._load(self.log.changes)
        self.send: Send = lambda _key, _name, _payload: None
        self.trading = Trading(market, self.state, fees or Fees(), self._told, slippage)
        self.conditionals = Conditionals(self.trading)
        self.forced = Forced(self.trading, self.conditionals)
        self.trading.fill_share = lambda order: faults.fill_share(order, self.now_ns)
        self._outbox: list[tuple[str, dict[str, Any]]] = []
        self.log.begin(self.keys, self.state)
        faults.skip_before(self.state.counters.seen_ns)
        self.jumped()

    def _load(self, changes: Changes) -> None:
        """The account as the log has it. Raises LedgerUnusable."""
        try:
            self.state.load(changes)
        except (msgspec.ValidationError, KeyError, TypeError) as error:
            raise LedgerUnusable(f"a record of the account cannot be read: {error}") from error
        records = (self.state.orders, self.state.algos, self.state.trades)
        named = {one.symbol for kept in records for one in kept.values()}
        named |= {*self.state.account.positions, *self.state.countdowns}
        unknown = named - set(self.market.symbols)
        if unknown:
            raise LedgerUnusable(f"the account trades {', '.join(sorted(unknown))}, which this market lacks")

    @property
    def now_ns(self) -> int:
        return self.market.now_ns

    # ---- requests

    def begin(self) -> None:
        """Before a request: prices as they are shown now, and whatever is due."""
        self._look()
        self._due(self.now_ns)

    def _look(self) -> None:
        for index, top in enumerate(self.market.tops):
            self.trading.books.last[index] = self.market.last[index]
            if top is not None:
                self.trading.books.top(index, top.number, (top.bid, top.bid_qty), (top.ask, top.ask_qty))

    def commit(self) -> None:
        """After a change: into the log, then to the listeners."""
        changes = self.state.changes()
        if changes:
            self.log.write(changes)
        outbox, self._outbox = self._outbox, []
        for name, payload in self.faults.ordered(outbox, self.now_ns):
            self.send(self.state.stream_key.key, name, payload)

    def _told(self, name: str, payload: dict[str, Any]) -> None:
        if self.state.stream_key.key:
            self._outbox.append((name, payload))

    # ---- the market moves

    def show(self, rows: list[RowTuple], to_ns: int) -> None:
        """Rows of a step, before they are published; those seen before change nothing."""
        seen_ns = self.state.counters.seen_ns
        if not self.state.is_idle or self.faults.pending:
            self._look()
            for row in rows:
                if row[5] >= seen_ns:
                    self._row(row)
        self._due(to_ns)
        self.state.counters.seen_ns = max(seen_ns, to_ns)
        self.commit()

    def jumped(self) -> None:
        """The market stands somewhere else: what it went through meanwhile is matched."""
        now_ns, seen_ns = self.now_ns, self.state.counters.seen_ns
        if seen_ns and not self.state.is_idle:
            self._recall(seen_ns)
            for from_ns in range(seen_ns, now_ns, _CATCH_UP_NS):
                for row in self.market.recorded(from_ns, min(now_ns, from_ns + _CATCH_UP_NS)):
                    self._row(row)
        self.state.counters.seen_ns = max(seen_ns, now_ns)
        self.begin()
        self.commit()

    def _recall(self, at_ns: int) -> None:
        """Prices as they stood at an earlier time; those of now where nothing traded in the hour before."""
        self._look()
        for row in self.market.recorded(at_ns - _CATCH_UP_NS, at_ns):
            if row[0] == _TOP:
                self.trading.books.top(row[2], row[10], (row[6], row[7]), (row[8], row[9]))
            elif row[0] == _TRADE and row[6]:
                self.trading.books.last[row[2]] = row[6]

    def _row(self, row: RowTuple) -> None:
        kind, index, at_ns = row[0], row[2], row[5]
        if kind == _CLOCK:
            self._due(at_ns)
        elif kind == _MARK:
            if row[1] & _FUNDING:
                self.forced.fund(index, row[6], row[8], at_ns)
        elif kind in (_TRADE, _TOP):
            self.trading.row(row)
            if kind == _TRADE and row[6]:
                symbol = self.market.symbols[index]
                self.conditionals.priced(symbol, row[6], at_ns)
                if symbol in self.state.account.positions and self.state.account.positions[symbol].qty:
                    self.forced.watch(at_ns)

    def _due(self, at_ns: int) -> None:
        """What time alone brings: ends of orders and keys, and faults that happen at a moment."""
        self.trading.hide_ns = self.faults.longest_ns("invisible", at_ns)
        self.trading.stale_ns = self.faults.longest_ns("stale", at_ns)
        if self.state.open or self.state.countdowns:
            self.trading.time(at_ns)
        if self.state.open_algos:
            self.conditionals.time(at_ns // MILLISECOND_NS, at_ns)
        key = self.state.stream_key
        if key.key and key.expires_ns <= at_ns:
            self.expire_key(key.expires_ns)
        for one in self.faults.due(at_ns):
            self._happen(one.fault, at_ns)

    def _happen(self, fault: Fault, at_ns: int) -> None:
        """A fault that happens at one moment."""
        if fault.kind == "key_expiry":
            self.expire_key(at_ns, silent=fault.silent)
        elif fault.kind == "liquidation":
            self.forced.liquidate(at_ns)
        elif fault.kind == "transfer":
            self.forced.transfer(round(fault.qty * UNIT) * (orders.SIDES.get(fault.side) or 1), at_ns)
        else:
            for name in self.market.symbols:
                if self.faults.matches(fault.symbols, name):
                    self._happen_to(name, fault, at_ns)

    def _happen_to(self, symbol: str, fault: Fault, at_ns: int) -> None:
        match fault.kind:
            case "stop_cancelled":
                for algo in self.state.open_conditionals(symbol):
                    self.conditionals.end(algo, orders.CANCELED, at_ns, silent=fault.silent)
            case "outside_trade":
                qty = round(fault.qty * UNIT)
                self.forced.outside(symbol, orders.SIDES.get(fault.side, 0), qty, at_ns, fault.text)
            case "adl":
                self.forced.deleverage(symbol, fault.share, at_ns)
            case "delist":
                self.forced.delist(symbol, at_ns)

    def ledger(self) -> dict[str, Any]:
        """Every record of the account, and its worth at the marks of now, in integers."""
        account, marks = self.state.account, self.trading.marks()
        records: dict[str, list[Any]] = {}
        for name, value in self.state.everything():
            records.setdefault(name, []).append(value)
        return {
            "now_ns": self.now_ns, "marks": marks, "equity": account.equity(marks),
            "maintenance": account.maintenance(marks),
            "difference": account.wallet
            - (account.start + account.realised - account.fees + account.funding)
            - (account.insurance + account.transferred),
            "account": records["account"][0], "counters": records["counters"][0],
            "orders": records.get("order", []), "algos": records.get("algo", []),
            "trades": records.get("trade", []), "incomes": records.get("income", []),
        }  # fmt: skip

    # ---- stream keys

    def make_key(self) -> str:
        """The listen key of the account: the one there is, good for an hour again, or a new one."""
        key = self.state.stream_key
        if not key.key:
            word = f"{self.keys.secret}:{key.made}".encode()
            key = StreamKey(hashlib.blake2b(word, digest_size=32).hexdigest(), made=key.made + 1)
        key.expires_ns = self.now_ns + KEY_NS
        self.state.changed(key)
        return key.key

    def keep_key(self) -> str:
        """An hour more. Raises Refusal −1125 where there is no key."""
        if not self.state.stream_key.key:
            raise refuse(-1125)
        return self.make_key()

    def drop_key(self) -> None:
        """The client closes its stream."""
        self.state.changed(StreamKey(made=self.state.stream_key.made))

    def expire_key(self, at_ns: int, *, silent: bool = False) -> None:
        """The key is good no more; listeners hear so unless a fault keeps it quiet."""
        key = self.state.stream_key.key
        if not key:
            return
        if not silent:
            self.commit()
            self.send(key, user_events.EXPIRED_KEY, user_events.key_expired(key, at_ns))
        self.drop_key()
