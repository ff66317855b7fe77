"""The size of an entry, computed again from journal rows and the configuration of row 1.

Rule: short integer arithmetic of its own, one pass, in the order of the pipeline; every step leaves a line.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from flowguardian.cli.answers import Line, usdt
from flowguardian.cli.books import SCALE, Books, part, ratio, up
from flowguardian.execution import events as ev
from flowguardian.market.instruments import Instrument


@dataclass
class Worked:
    """The outcome: an order (`code` empty) with its numbers, or the step that refuses."""

    code: str = ""
    qty: int = 0
    limit_price: int = 0
    reserved: int = 0
    bound: str = ""
    limit: int = 0
    value: int = 0
    slots: int = 1
    cap: dict[str, int] = field(default_factory=dict)
    room: dict[str, int] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)

    def note(self, key: str, formula: str, result: str) -> None:
        """Leave a line."""
        self.lines.append(Line(key, formula, result))

    def refuse(self, code: ev.Reason, limit: int, value: int) -> Worked:
        """End here."""
        self.code, self.limit, self.value = code.value, limit, value
        return self


def n(units: int) -> str:
    """An exact amount, with thousands separated."""
    return f"{usdt(units):,f}"


def m(units: int) -> str:
    """An amount of money to a hundredth, marked when that is not all of it."""
    return f"{usdt(units):,.2f}"


class Arithmetic:
    """Sizes one signal."""

    def __init__(self, signal: ev.Signal, instrument: Instrument, books: Books, equity: int) -> None:
        self.signal, self.books, self.equity = signal, books, equity
        self.instrument = instrument
        self.config = books.config
        self.sizing = self.config["position_sizing"]
        self.taker = ratio(self.config["fees"]["taker"])
        self.price = (signal.ask if signal.side > 0 else signal.bid) or signal.price
        slippage, tick = ratio(self.config["execution"]["max_slippage"]), instrument.tick_size
        above = up(self.price * (SCALE + slippage), SCALE * tick) * tick
        below = self.price * (SCALE - slippage) // (SCALE * tick) * tick
        self.limit_price = above if signal.side > 0 else below
        self.dear = above
        self.least = max(ratio(self.sizing["min_position_notional"]), instrument.min_notional)
        self.out = Worked(limit_price=self.limit_price)

    def reservation(self, qty: int) -> int:
        """Notional at the dearest price the order can fill at, and its fee; both rounded up."""
        return up(self.dear * qty, SCALE) + up(self.dear * qty * self.taker, SCALE * SCALE)

    def affordable(self, room: int) -> int:
        """The quantity on the step grid whose reservation fits into `room`, to the last 2e-8."""
        step = self.instrument.step_size
        qty = room * SCALE * SCALE // (self.dear * (SCALE + self.taker)) // step * step
        if self.reservation(qty) > room:
            qty = (room - 2) * SCALE * SCALE // (self.dear * (SCALE + self.taker)) // step * step
        return max(qty, 0)

    def _with_fee(self, qty: int) -> str:
        return f"{n(qty)} × {n(self.dear)} × (1 + {self.config['fees']['taker']})"

    def work(self) -> Worked:
        """The whole pass."""
        out, signal = self.out, self.signal
        factor = f"(1 {'+' if signal.side > 0 else '−'} {self.config['execution']['max_slippage']})"
        tick = n(self.instrument.tick_size)
        out.note("limit_price", f"{n(self.price)} × {factor} → tick {tick}", n(self.limit_price))
        if signal.stop_distance <= 0 or self.limit_price <= 0:
            return out.refuse(ev.Reason.SIZING, 0, signal.stop_distance)
        wanted_qty = self._by_risk()
        wanted = self.reservation(wanted_qty)
        out.note("wanted", self._with_fee(wanted_qty), m(wanted))
        room = self._room()
        if room < self.least:
            return out.refuse(ev.Reason.EXPOSURE, self.least, room)
        qty = wanted_qty
        if wanted > room:
            out.room = {"wanted": wanted, "room": room}
            qty, wanted, out.bound = self.affordable(room), room, "exposure"
            out.note("reduced", f"{m(out.room['wanted'])} > {m(room)}", n(qty))
        refused = self._budget(wanted)
        if refused:
            return out
        if out.cap:
            qty, out.bound = self.affordable(out.cap["cap"]), "budget"
            out.note("capped", f"{m(wanted)} > {m(out.cap['cap'])}", n(qty))
        return self._fit(qty)

    def _by_risk(self) -> int:
        out, sizing, signal = self.out, self.sizing, self.signal
        per_trade = self.config["risk"]["per_trade"]
        risk, factors = part(max(self.equity, 0), ratio(per_trade)), [f"{m(self.equity)} × {per_trade}"]
        context = sizing["context_scaling"]
        if context["enabled"]:
            atr = round(signal.atr * SCALE) * SCALE // self.price
            low, high = ratio(context["atr_low_pct"]), ratio(context["atr_high_pct"])
            key = "low_vol_mult" if atr < low else "high_vol_mult" if atr > high else ""
            out.note("atr", f"{signal.atr:.8g} ÷ {n(self.price)}", f"{usdt(atr):.4%}")
            if key:
                risk = part(risk, ratio(context[key]))
                factors.append(f"{context[key]} ({key})")
        places = self.books.taken() if sizing["multi_position_scaling"] else 0
        for _ in range(places):
            risk = part(risk, ratio(sizing["exposure_reduction_factor"]))
        if places:
            factors.append(f"{sizing['exposure_reduction_factor']}^{places}")
        out.note("risk", " × ".join(factors), m(risk))
        qty = risk * SCALE // signal.stop_distance
        out.note("risk_qty", f"{m(risk)} ÷ {n(signal.stop_distance)}", n(qty))
        most = ratio(sizing["max_position_notional"]) * SCALE // self.dear
        out.note("most_qty", f"{sizing['max_position_notional']:,} ÷ {n(self.dear)}", n(most))
        out.bound = "max_notional" if qty > most else "risk"
        return min(qty, most)

    def _room(self) -> int:
        risk, equity, books = self.config["risk"], max(self.equity, 0), self.books
        total_share = min(self.config["portfolio"]["max_total_exposure"], risk["max_exposure_pct"])
        in_symbol = part(equity, ratio(risk["max_exposure_per_symbol"])) - books.exposure(self.signal.symbol)
        most, formula = part(equity, ratio(total_share)), f"{m(equity)} × {total_share}"
        if books.largest_total is not None and books.largest_total < most:
            most, formula = books.largest_total, f"{m(books.largest_total)} (live.max_notional_usdt)"
        in_total = most - books.exposure()
        self.out.note(
            "symbol_room",
            f"{m(equity)} × {risk['max_exposure_per_symbol']} − {m(books.exposure(self.signal.symbol))}",
            m(in_symbol),
        )
        self.out.note("total_room", f"{formula} − {m(books.exposure())}", m(in_total))
        return min(in_symbol, in_total)

    def _budget(self, wanted: int) -> bool:
        """Notes the budget's arithmetic; True when it refuses."""
        out, books, strategy = self.out, self.books, self.signal.strategy
        allocated, used = books.allocated(strategy), books.used(strategy)
        available = max(0, allocated - used)
        shares = self.config["portfolio"]["budget"]
        share = shares["strategy_allocation"].get(strategy, shares["default_allocation"])
        out.note("allocated", f"{m(books.balance)} × {share}", m(allocated))
        out.note("available", f"{m(allocated)} − {m(used)}", m(available))
        if self.sizing["multi_position_scaling"]:
            free = self.config["risk"]["max_positions"] - books.taken()
            own = self.config["portfolio"]["max_strategy_positions"] - books.taken(strategy)
            out.slots = max(1, min(free, own))
        cap = available // out.slots
        out.note("cap", f"{m(available)} ÷ {out.slots}", m(cap))
        if cap < self.least:
            out.refuse(ev.Reason.PORTFOLIO_BUDGET, self.least, cap)
        elif wanted > cap and not self.sizing["allow_partial_entry"]:
            out.refuse(ev.Reason.PORTFOLIO_BUDGET, wanted, cap)
        elif wanted > cap:
            out.cap = {
                "basis": books.balance, "allocated": allocated, "used": used, "available": available,
                "slots": out.slots, "wanted": wanted, "cap": cap,
            }  # fmt: skip
        return bool(out.code)

    def _fit(self, qty: int) -> Worked:
        out, instrument = self.out, self.instrument
        step = instrument.step_size
        fitted = min(qty, instrument.max_qty) // step * step if qty > 0 else 0
        fitted = fitted if fitted >= instrument.min_qty else 0
        out.note("qty", f"{n(qty)} → step {n(step)}", n(fitted))
        worth = up(self.price * fitted, SCALE)
        if fitted == 0 or up(min(self.price, self.limit_price) * fitted, SCALE) < self.least:
            return out.refuse(ev.Reason.VENUE_FILTERS, self.least, worth)
        out.qty, out.reserved = fitted, self.reservation(fitted)
        out.note("notional", f"{n(fitted)} × {n(self.price)}", m(worth))
        out.note("reserved", self._with_fee(fitted), m(out.reserved))
        return out
