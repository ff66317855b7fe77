"""Which protective stops must rest at the venue, and what is to be done so that they do.

Rule: pure. Every open position has one stop of its own quantity that only reduces. A new one is placed before
an old one is cancelled, so that a change of quantity leaves no moment without one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from flowguardian.execution.money import ceil_step, share
from flowguardian.execution.portfolio_manager import Position
from flowguardian.market.instruments import Instrument


class Stop(NamedTuple):
    """A stop order that only reduces; `side` is the order's, amounts in units of 1e-8."""

    symbol: str
    side: int
    qty: int
    price: int
    client_id: str


class Changes(NamedTuple):
    """What to do at the venue, placing first."""

    place: tuple[Stop, ...]
    cancel: tuple[Stop, ...]


class Stops:
    """The stops of one account: what rests, as far as the venue confirmed it."""

    def __init__(self, tag: str, gap: int) -> None:
        """`gap`: how far beyond the engine's stop these lie, as a ratio (1e-8)."""
        self._tag, self._gap = tag, gap
        self._resting: dict[str, dict[str, Stop]] = {}
        self._asked: dict[str, Stop] = {}
        """What is on its way to the venue, by symbol."""
        self._bare_since_ns: dict[str, int] = {}

    def name(self, number: int) -> str:
        """The client id of a stop: one for each fill that changed a position, equal after a restart."""
        return f"{self._tag}s{number}"

    def is_ours(self, client_id: str) -> bool:
        """Whether an order is one of these stops."""
        return client_id.startswith(f"{self._tag}s")

    def changes(
        self,
        positions: Mapping[str, Position],
        fills: Mapping[str, int],
        instruments: Mapping[str, Instrument],
    ) -> Changes:
        """What is missing and what is too much; `fills` are the last fill ids of the symbols."""
        place, cancel = [], []
        for symbol, position in positions.items():
            wanted = self._wanted(position, fills.get(symbol, 0), instruments[symbol])
            resting = self._resting.get(symbol, {})
            if wanted is None or symbol in self._asked:
                continue
            good = [
                stop
                for stop in resting.values()
                if stop.side == wanted.side and position.qty <= stop.qty <= wanted.qty
            ]
            if good:
                cancel += [stop for stop in resting.values() if stop is not good[0]]
            else:
                place.append(wanted)
        for symbol, resting in self._resting.items():
            if symbol not in positions:
                cancel += resting.values()
        return Changes(tuple(place), tuple(cancel))

    def _wanted(self, position: Position, fill: int, instrument: Instrument) -> Stop | None:
        if not position.stop:
            return None
        tick = instrument.tick_size
        # Beyond the engine's own stop, which acts first, and rounded away from the position.
        level = position.stop - position.side * share(position.stop, self._gap)
        price = level // tick * tick if position.side > 0 else -(-level // tick) * tick
        # A step that became coarser after the entry: more than there is, and it only reduces.
        qty = ceil_step(position.qty, instrument.step_size)
        return Stop(position.symbol, -position.side, qty, price, self.name(fill))

    # ---- what became of it

    def asked(self, stop: Stop) -> None:
        """It is on its way."""
        self._asked[stop.symbol] = stop

    def confirmed(self, stop: Stop) -> None:
        """It rests at the venue."""
        self._asked.pop(stop.symbol, None)
        self._resting.setdefault(stop.symbol, {})[stop.client_id] = stop

    def failed(self, stop: Stop) -> None:
        """It does not rest there: it is asked for again."""
        self._asked.pop(stop.symbol, None)

    def gone(self, symbol: str, client_id: str) -> None:
        """It rests no more: cancelled, triggered, or never there."""
        resting = self._resting.get(symbol, {})
        resting.pop(client_id, None)
        if not resting:
            self._resting.pop(symbol, None)

    def seen(self, resting: Mapping[str, Mapping[str, Stop]]) -> None:
        """The venue's own list: what it does not name is not there."""
        self._resting = {symbol: dict(stops) for symbol, stops in resting.items() if stops}

    def rests(self, symbol: str) -> bool:
        """Whether some stop protects the symbol."""
        return bool(self._resting.get(symbol))

    def bare_since(self, positions: Mapping[str, Position], now_ns: int) -> dict[str, int]:
        """Positions without a confirmed stop, and since when."""
        bare = {symbol for symbol in positions if not self.rests(symbol)}
        self._bare_since_ns = {symbol: self._bare_since_ns.get(symbol, now_ns) for symbol in bare}
        return dict(self._bare_since_ns)
