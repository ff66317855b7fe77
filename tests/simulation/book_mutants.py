"""Bugs of books, fills, exits, time and records, rebuilt as patches of paper runs.

Rule: as in `mutants`; what is patched is the product's own function, and only while a test runs.
"""

from __future__ import annotations

import msgspec

from flowguardian.acceptance import tallies
from flowguardian.brokers import paper
from flowguardian.brokers.paper import PaperBroker
from flowguardian.execution import entries, exits, loop, money
from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.execution.money import SCALE
from flowguardian.execution.portfolio_manager import PortfolioManager, Position
from flowguardian.execution.timers import Timers
from flowguardian.execution.watches import COMMITTED, Watch
from flowguardian.journal.journal import Recorder
from flowguardian.market import bars, scanner
from flowguardian.venue import matching
from tests.simulation.mutants import FLIPS, PARTIALS, PLAIN, SLOW, THIN, TRAILS, Mutant, calm, registering

BOOKS: list[Mutant] = []
mutant = registering(BOOKS, PLAIN)

# ---- books


@mutant("A fill that was told twice was booked twice.")
def fill_applied_twice(patch):
    fill = PortfolioManager.fill

    def twice(self, row, order):
        found = fill(self, row, order)
        position = self.positions.get(row.symbol)
        if position is not None and position.side == row.side and row.fill_id % 3 == 0:
            self._move(self.positions[row.symbol], row.side, row.qty, row.price, row.fee)
        return found

    patch.setattr(PortfolioManager, "fill", twice)


@mutant("The end of an order was taken before the fills that came before it.", THIN)
def the_end_overtakes_the_fill(patch):
    match = PaperBroker.match
    patch.setattr(PaperBroker, "match", lambda self, *args: match(self, *args)[::-1])


@mutant("A fill of an order that had ended was ignored; the venue held a position nobody knew.", SLOW)
def late_fills_are_dropped(patch):
    match = PaperBroker.match

    def dropped(self, order_id, *args):
        order, _ = self.working[order_id]
        facts = match(self, order_id, *args)
        order_ended = ev.OrderExpired(facts[0].ts_ns, order_id, order.symbol, 0)
        return [order_ended, *facts] if order_id == 5 else facts

    apply_fill = Engine._apply_fill

    def ignoring(self, row):
        self._moved = None
        if row.order_id in self.portfolio.orders:
            apply_fill(self, row)

    patch.setattr(PaperBroker, "match", dropped)
    patch.setattr(Engine, "_apply_fill", ignoring)


@mutant("Only the first part of an order paid its fee.", THIN)
def parts_pay_no_fee(patch):
    match = PaperBroker.match

    def cheap(self, *args):
        facts = match(self, *args)
        free = [msgspec.structs.replace(one, fee=0) if isinstance(one, ev.OrderFilled) else one
                for one in facts[1:]]  # fmt: skip
        return [*facts[:1], *free]

    patch.setattr(PaperBroker, "match", cheap)


@mutant("Fees were rounded down, a hundred-millionth too little at a time.")
def fees_are_rounded_down(patch):
    patch.setattr(paper, "fee", lambda price, qty, rate: price * qty * rate // (SCALE * SCALE))


@mutant("Fees were computed in floating point and differed in the last digit.")
def fees_in_floating_point(patch):
    patch.setattr(
        paper, "fee", lambda price, qty, rate: int(price / SCALE * (qty / SCALE) * (rate / SCALE) * SCALE)
    )


@mutant("The slippage of a fill was looked at after the fill, and left out of its price.", THIN)
def slippage_after_the_fill(patch):
    match = matching.match_taker
    patch.setattr(paper, "match_taker", lambda **asked: match(**asked | {"slippage": 0}))


@mutant("The answer that an order was taken was booked as its fill, at its own limit.")
def ack_taken_as_fill(patch):
    match = PaperBroker.match

    def at_once(self, order_id, ts_ns, quote, level=0, held=0):
        order, _ = self.working[order_id]
        facts = match(self, order_id, ts_ns, quote, level, held)
        if order.purpose is not ev.Purpose.ENTRY:
            return facts
        return [msgspec.structs.replace(one, price=order.limit_price) if isinstance(one, ev.OrderFilled)
                else one for one in facts]  # fmt: skip

    patch.setattr(PaperBroker, "match", at_once)


@mutant("Funding was booked once from the event and once from the list.", calm(4, 26.0))
def funding_is_counted_twice(patch):
    fund = PortfolioManager.fund
    patch.setattr(
        PortfolioManager,
        "fund",
        lambda self, row: fund(self, msgspec.structs.replace(row, amount=2 * row.amount)),
    )


@mutant("The sign of funding was that of a long position for shorts as well.",
        calm(4, 26.0))  # fmt: skip
def funding_of_shorts_has_the_wrong_sign(patch):
    funding = money.funding
    patch.setattr(loop, "funding", lambda side, qty, mark, rate: funding(1, qty, mark, rate))


@mutant("A partial close took the profit and left the whole cost with the rest.", PARTIALS)
def partial_close_leaves_the_cost(patch):
    move = PortfolioManager._move

    def leaving(self, position, side, qty, price, fee):
        cost = position.cost
        found = move(self, position, side, qty, price, fee)
        if side != position.side and position.qty:
            position.cost = cost
        return found

    patch.setattr(PortfolioManager, "_move", leaving)


@mutant("The unrealised profit of a short had the sign of a long.")
def unrealised_of_shorts_has_the_wrong_sign(patch):
    patch.setattr(Position, "unrealised", lambda self, mark: (self.qty * mark - self.cost) // SCALE)


@mutant("Drawdown and daily loss saw the balance, not what open positions had lost.",
        calm(1, 6.0, "risk.max_drawdown_pct=0.1"))  # fmt: skip
def equity_without_open_positions(patch):
    patch.setattr(PortfolioManager, "equity", lambda self, marks: self.balance())


@mutant("An account below its maintenance margin went on trading: paper knew no liquidation.",
        calm(4, 24.0, "strategies.ema_cross.params.stop_pct=5", "strategies.ema_cross.params.target_pct=5",
             "strategies.ema_cross.max_hold_minutes=1000", "execution.leverage=1",
             "execution.maintenance_margin=0.99",
             "portfolio.budget.default_allocation=1", "portfolio.max_total_exposure=1",
             "risk.max_exposure_pct=1", "risk.max_exposure_per_symbol=1", "risk.per_trade=0.05",
             "position_sizing.max_position_notional=50000",
             "position_sizing.multi_position_scaling=false"))  # fmt: skip
def liquidation_is_not_applied(patch):
    patch.setattr(loop.MarketLoop, "_liquidate", lambda self, at_ns: None)


# ---- exits


@mutant("The stop was put on the side of a long for every position.")
def stop_on_the_wrong_side(patch):
    filled = entries.EntryPipeline.filled

    def wrong(self, fill, position):
        row = filled(self, fill, position)
        distance = position.entry.stop_distance
        return msgspec.structs.replace(row, stop=fill.price - distance, target1=fill.price + 2 * distance)

    patch.setattr(entries.EntryPipeline, "filled", wrong)


@mutant("The stop was written into the books and never watched.")
def stop_is_never_watched(patch):
    init = Watch.__init__

    def bare(self, symbol, opened, trigger):
        init(self, symbol, opened, trigger)
        self._states["stop"][COMMITTED] = opened.price - opened.side * opened.price // 2

    patch.setattr(Watch, "__init__", bare)


@mutant("The stop was said to move to break-even, and did not.",
        calm(1, 6.0, "strategies.scalping.break_even_trigger_r=0.5"))  # fmt: skip
def break_even_is_never_moved(patch):
    init = Watch.__init__
    patch.setattr(Watch, "__init__", lambda self, symbol, opened, trigger: init(self, symbol, opened, 0))


@mutant("The trailing stop went back with the price: it was measured from the last price, not the best.",
        TRAILS)  # fmt: skip
def trailing_stop_moves_away(patch):
    commit = Watch.commit

    def forgetful(self):
        commit(self)
        self._states["best"][COMMITTED] = self.opened.side * self.opened.price

    patch.setattr(Watch, "commit", forgetful)


@mutant("The longest holding time was milliseconds in one place and seconds in the other.")
def expiry_in_the_wrong_unit(patch):
    filled = entries.EntryPipeline.filled

    def later(self, fill, position):
        row = filled(self, fill, position)
        return msgspec.structs.replace(row, expiry_ns=fill.ts_ns + 1000 * position.entry.hold_ns)

    patch.setattr(entries.EntryPipeline, "filled", later)


@mutant("After the first target the whole position was closed, and its second target never came.", PARTIALS)
def first_target_closes_everything(patch):
    on_trigger = exits.ExitDecider.on_trigger

    def whole(self, row):
        for order in on_trigger(self, row):
            yield msgspec.structs.replace(order, qty=self._portfolio.positions[row.symbol].qty * 2)

    patch.setattr(exits.ExitDecider, "on_trigger", whole)


@mutant("A flip asked for the close once more while the first one was on its way, and turned the position.",
        FLIPS)  # fmt: skip
def flip_closes_twice(patch):
    on_signal = Engine._on_signal

    def twice(self, signal):
        for row in on_signal(self, signal):
            yield row
            if isinstance(row, ev.OrderRequested) and row.purpose is ev.Purpose.EXIT:
                yield msgspec.structs.replace(row, order_id=row.order_id + 1)

    patch.setattr(Engine, "_on_signal", twice)


# ---- time, records, the judge


@mutant("A timer fired twice for one moment.")
def timer_fires_twice(patch):
    fire, seen = Timers.fire, dict[int, int]()

    def again(self):
        name = fire(self)
        seen[id(self)] = seen.get(id(self), 0) + 1
        if seen[id(self)] % 5 == 0:
            self._count -= 1
        return name

    patch.setattr(Timers, "fire", again)


@mutant("The chance of a run was drawn anew in every process, so that nobody could repeat it.", SLOW)
def the_seed_is_forgotten(patch):
    init, drawn = PaperBroker.__init__, iter(range(1000))
    patch.setattr(
        PaperBroker, "__init__", lambda self, costs, seed, made: init(self, costs, seed + next(drawn), made)
    )


@mutant("Rows were lost on the way to the disk when many came at once.")
def rows_are_lost(patch):
    commit = Recorder.commit

    def forgetful(self, rows, *, durable):
        commit(self, rows[:1] if len(rows) > 3 else rows, durable=durable)

    patch.setattr(Recorder, "commit", forgetful)


@mutant("Orders got their numbers anew from one after every position.")
def order_numbers_are_used_again(patch):
    fill = PortfolioManager.fill

    def reset(self, row, order):
        found = fill(self, row, order)
        if not self.positions and not self.orders:
            self.last_order_id = 0
        return found

    patch.setattr(PortfolioManager, "fill", reset)


@mutant("The report counted entries from orders that were sent, not from fills.",
        THIN)  # fmt: skip
def entries_are_counted_from_orders(patch):
    add = tallies.Tally.add

    def counting(self, seq, row):
        if isinstance(row, ev.OrderRequested) and row.purpose is ev.Purpose.ENTRY:
            self.entries.append(tallies.EntryFill(seq, row.ts_ns, row.symbol, row.order_id))
        before = len(self.entries)
        add(self, seq, row)
        del self.entries[before:]

    patch.setattr(tallies.Tally, "add", counting)


@mutant("A signal saw a bar with what was traded after it: the backtest knew the next price.")
def a_bar_holds_later_trades(patch):
    close = bars.close_bars

    def leaking(*args):
        ts, venue, price, qty, *rest = args
        return close(ts, venue - 10**9, price, qty, *rest)

    patch.setattr(scanner, "close_bars", leaking)
