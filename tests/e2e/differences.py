"""Every decision that differs between two runs of one market, and the earlier fill that explains it.

Rule: a decision may differ only where what it looks at differs, and that only through a fill that landed
otherwise in one run (price, quantity) or not yet in the other. An entry looks at its own symbol, then at
the slots that others hold, then (for its size) at the money; an exit at the fills of its position.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

from flowguardian.execution import events as ev

Key = tuple[str, int, int]
"""Symbol, bar of the entry, number of the exit of its position (0 = the entry): the same in both runs."""
Parts = tuple[tuple[int, int], ...]
"""(price, quantity) of each fill."""


class Landed(NamedTuple):
    """What has been filled of an order, and when the last part was."""

    order_id: int
    parts: Parts
    ts_ns: int


class Seen(NamedTuple):
    """What a run had before a row."""

    held: dict[str, int]
    """Signed quantities of what is open."""
    money: tuple[int, int, int]
    """Cash through the account (1e-16), fees, funding (1e-8)."""
    landed: dict[Key, Landed]


class Decided(NamedTuple):
    """A decision: what (kind, side, why, whether the budget capped it), how much, and what it looked at."""

    what: tuple[object, ...]
    qty: int
    ts_ns: int
    seen: Seen


class Explained(NamedTuple):
    """One differing decision and the order whose fill explains it; no order: nothing does."""

    key: Key
    here: Decided | None
    there: Decided | None
    rule: str
    order: Key | None
    fills: tuple[Landed | None, Landed | None]

    def __str__(self) -> str:
        told = [f"{one.what} {one.qty}" if one else "no decision" for one in (self.here, self.there)]
        by = [f"order {one.order_id} {one.parts}" if one else "not filled" for one in self.fills]
        why = f"{self.rule}, {self.order[0]}: {by[0]} / {by[1]}" if self.order else "NOTHING EXPLAINS IT"
        return f"{self.key}: {told[0]} / {told[1]}; {why}"


class Walk:
    """One run, row by row."""

    def __init__(self, rows: Sequence[ev.Row]) -> None:
        self.decisions: dict[Key, Decided] = {}
        self._held: dict[str, int] = {}
        self._money = (0, 0, 0)
        self._landed: dict[Key, Landed] = {}
        self._keys: dict[int, Key] = {}
        self._exits: dict[str, Key] = {}
        """The last order of the open position of a symbol."""
        self._capped: set[str] = set()
        self._moments: list[tuple[int, Seen]] = []
        for row in rows:
            self._walk(row)

    def at(self, ts_ns: int) -> Seen:
        """What the run had after everything up to a moment."""
        place = bisect_right(self._moments, ts_ns, key=lambda one: one[0])
        return self._moments[place - 1][1] if place else Seen({}, (0, 0, 0), {})

    def _seen(self) -> Seen:
        return Seen(dict(self._held), self._money, dict(self._landed))

    def _walk(self, row: ev.Row) -> None:
        if isinstance(row, ev.BudgetCapped):
            self._capped.add(row.symbol)
        elif isinstance(row, ev.EntryRefused):
            self._decided((row.symbol, row.bar_ns, 0), row, ("refused", row.side, row.code.value), 0)
        elif isinstance(row, ev.OrderRequested):
            last = self._exits.get(row.symbol, (row.symbol, 0, 0))
            entry = row.purpose is ev.Purpose.ENTRY
            key = (row.symbol, row.bar_ns, 0) if entry else (*last[:2], last[2] + 1)
            self._keys[row.order_id] = self._exits[row.symbol] = key
            self._decided(key, row, (row.purpose.value, row.side, row.reason), row.qty)
        elif isinstance(row, ev.OrderFilled | ev.ClosedByVenue | ev.FundingSettled):
            self._moved(row)
            self._moments.append((row.ts_ns, self._seen()))

    def _decided(
        self, key: Key, row: ev.EntryRefused | ev.OrderRequested, what: tuple[object, ...], qty: int
    ) -> None:
        capped = key[0] in self._capped
        self._capped.discard(key[0])
        assert key not in self.decisions, f"two decisions of one name: {key}"
        self.decisions[key] = Decided((*what, capped), qty, row.ts_ns, self._seen())

    def _moved(self, row: ev.OrderFilled | ev.ClosedByVenue | ev.FundingSettled) -> None:
        cash, fees, funding = self._money
        if isinstance(row, ev.FundingSettled):
            self._money = (cash, fees, funding + row.amount)
            return
        held = self._held.pop(row.symbol, 0)
        side = row.side if isinstance(row, ev.OrderFilled) else (-1 if held > 0 else 1)
        if after := held + side * row.qty:
            self._held[row.symbol] = after
        self._money = (cash - side * row.price * row.qty, fees + row.fee, funding)
        if isinstance(row, ev.OrderFilled):
            key = self._keys[row.order_id]
            before = self._landed.get(key)
            parts = (*(before.parts if before else ()), (row.price, row.qty))
            self._landed[key] = Landed(row.order_id, parts, row.ts_ns)


def differences(here: Sequence[ev.Row], there: Sequence[ev.Row]) -> tuple[int, list[Explained]]:
    """(decisions of both runs, those that differ with what explains them), in the order of time."""
    one, other = Walk(here), Walk(there)
    keys = {*one.decisions, *other.decisions}
    found = []
    for key in keys:
        ours, theirs = one.decisions.get(key), other.decisions.get(key)
        if ours is None or theirs is None or (ours.what, ours.qty) != (theirs.what, theirs.qty):
            found.append(_explained(key, ours, theirs, one, other))
    return len(keys), sorted(found, key=lambda it: min(x.ts_ns for x in (it.here, it.there) if x))


def _explained(key: Key, ours: Decided | None, theirs: Decided | None, one: Walk, other: Walk) -> Explained:
    seen = ours.seen if ours else one.at(theirs.ts_ns if theirs else 0)
    their_seen = theirs.seen if theirs else other.at(ours.ts_ns if ours else 0)
    differing = {
        order
        for order in {*seen.landed, *their_seen.landed}
        if _parts(seen, order) != _parts(their_seen, order) or (key[2] and _is_of(key, order))
    }
    rule, is_looked_at = _touched(key, ours, theirs, seen, their_seen)
    fitting = [order for order in differing if is_looked_at(order)]
    if not fitting:
        return Explained(key, ours, theirs, "", None, (None, None))
    cause = max(fitting, key=lambda order: _last_ns(order, seen, their_seen))
    return Explained(key, ours, theirs, rule, cause, (seen.landed.get(cause), their_seen.landed.get(cause)))


def _touched(
    key: Key, ours: Decided | None, theirs: Decided | None, seen: Seen, their_seen: Seen
) -> tuple[str, Callable[[Key], bool]]:
    """By which rule a decision may differ, and through the fills of which orders."""
    symbol = key[0]
    if key[2] and _moments(key, seen) != _moments(key, their_seen):
        return "fills of its position", lambda order: _is_of(key, order)
    if seen.held.get(symbol, 0) != their_seen.held.get(symbol, 0):
        return "its symbol is held otherwise", lambda order: order[0] == symbol
    if others := {
        name for name in {*seen.held, *their_seen.held} if (name in seen.held) != (name in their_seen.held)
    }:
        return "slots", lambda order: order[0] in others
    only_size = ours and theirs and ours.what[:3] == theirs.what[:3]
    if only_size and seen.money != their_seen.money:
        return "money", lambda _: True
    return "", lambda _: False


def _is_of(key: Key, order: Key) -> bool:
    return order[:2] == key[:2]


def _moments(key: Key, seen: Seen) -> list[Landed]:
    """The fills of the position that an exit belongs to; their moments move its expiry and its levels."""
    return [one._replace(order_id=0) for order, one in sorted(seen.landed.items()) if _is_of(key, order)]


def _parts(seen: Seen, order: Key) -> Parts:
    found = seen.landed.get(order)
    return found.parts if found else ()


def _last_ns(order: Key, *seen: Seen) -> int:
    return max(one.landed[order].ts_ns for one in seen if order in one.landed)
