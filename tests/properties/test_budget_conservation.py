"""Whatever the venue does, the books balance exactly and the budget is what positions and orders hold.

Random facts go into `Engine.process`; beside it runs a ledger of its own that knows rows only.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.execution.money import SCALE, units
from tests.builders import SECOND, STEP, SYMBOLS, T0, TICK, engine, filled, limits, of_kind, signal

STRATEGIES = ("coin", "other")
ALLOCATION = {"coin": units("0.25"), "other": units("0.5")}


class Ledger:
    """What the account must look like, by the shortest arithmetic that is exact; fed with rows only."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.realised = self.fees = self.funding = 0
        self.held: dict[str, list[Any]] = {}  # symbol -> [strategy, side, qty, cost in 1e-16]
        self.live: dict[int, list[Any]] = {}  # order id -> [request, filled, unknown]
        self.outcomes = 0

    def learn(self, row: ev.Row) -> None:
        if isinstance(row, ev.OrderRequested):
            self.live[row.order_id] = [row, 0, False]
            self.outcomes += row.purpose is ev.Purpose.ENTRY
        elif isinstance(row, ev.EntryRefused):
            self.outcomes += 1
        elif isinstance(row, ev.OrderFilled):
            self._fill(row)
        elif isinstance(row, (ev.OrderExpired, ev.OrderRejected, ev.OrderUnsent)):
            del self.live[row.order_id]
        elif isinstance(row, ev.OrderUnknown):
            self.live[row.order_id][2] = True
        elif isinstance(row, ev.FundingSettled):
            self.funding += row.amount

    def _fill(self, row: ev.OrderFilled) -> None:
        order = self.live[row.order_id]
        order[1] += row.qty
        order[2] = False
        if order[1] == order[0].qty:
            del self.live[row.order_id]
        self.fees += row.fee
        held = self.held.setdefault(row.symbol, [order[0].strategy, row.side, 0, 0])
        if held[1] == row.side:
            held[2] += row.qty
            held[3] += row.qty * row.price
            return
        cost = held[3] if row.qty == held[2] else held[3] * row.qty // held[2]
        self.realised += (row.qty * row.price - cost) * held[1] // SCALE
        held[2] -= row.qty
        held[3] -= cost
        if held[2] == 0:
            del self.held[row.symbol]

    def balance(self) -> int:
        return self.start + self.realised - self.fees + self.funding

    def reserved(self, strategy: str) -> int:
        return sum(
            int(request.reserved * (request.qty - done) // request.qty)
            for request, done, _ in self.live.values()
            if request.strategy == strategy
        )

    def used(self, strategy: str) -> int:
        worth = [-(-int(cost) // SCALE) for owner, _, _, cost in self.held.values() if owner == strategy]
        return sum(worth) + self.reserved(strategy)

    def equity(self, mark: dict[str, int]) -> int:
        held = self.held.items()
        profits = [int((q * mark[s] - cost) * side // SCALE) for s, (_, side, q, cost) in held]
        return self.balance() + sum(profits)


class Twin:
    """The engine and the ledger, driven by the same facts."""

    def __init__(self, policy: str) -> None:
        self.engine: Engine = engine(
            limits(
                strategies=STRATEGIES, allocation=ALLOCATION, allow_add=True, max_adds=2, on_opposite=policy
            )
        )
        self.ledger = Ledger(self.engine.limits.start_equity)
        self.now = T0
        self.fill_id = 0
        self.signals = 0
        self.price = {symbol: units(100) for symbol in SYMBOLS}

    def process(self, fact: ev.Row) -> list[ev.Row]:
        rows = self.engine.process(fact)
        for row in rows:
            self.ledger.learn(row)
            if isinstance(row, ev.OrderRequested) and row.reserved:
                share = ALLOCATION[row.strategy]
                assert self.ledger.used(row.strategy) <= self.ledger.balance() * share // SCALE, "I06"
                assert row.qty % STEP == 0
                assert row.limit_price % TICK == 0
        self.check(rows)
        return rows

    def check(self, rows: list[ev.Row]) -> None:
        portfolio, ledger = self.engine.portfolio, self.ledger
        assert not of_kind(rows, ev.InvariantViolated)
        assert portfolio.balance() == ledger.balance()
        assert portfolio.equity([self.price[s] for s in portfolio.positions]) == ledger.equity(self.price)
        for strategy in STRATEGIES:
            assert portfolio.get_used_budget(strategy) == ledger.used(strategy)
            assert portfolio.get_reserved_budget(strategy) == ledger.reserved(strategy)
            allocated = ledger.balance() * ALLOCATION[strategy] // SCALE
            assert portfolio.get_available_budget(strategy) == max(0, allocated - ledger.used(strategy))
        if not ledger.held and not any(order[0].reserved for order in ledger.live.values()):
            assert portfolio.total_exposure() == 0
            assert portfolio.pending == {}
        assert {s: (p.side, p.qty, p.cost) for s, p in portfolio.positions.items()} == {
            s: tuple(h[1:]) for s, h in ledger.held.items()
        }
        assert self.signals == ledger.outcomes + len(self.engine.planned)

    def act(self, what: str, pick: int, part: int, move: int) -> None:
        """One fact; `pick`, `part` and `move` choose among what is possible."""
        self.now += SECOND
        symbol = SYMBOLS[pick % len(SYMBOLS)]
        self.price[symbol] = max(TICK * 100, (self.price[symbol] * (1000 + move) // 1000) // TICK * TICK)
        if what == "signal":
            self.signal(symbol, STRATEGIES[part % 2], 1 if pick % 2 else -1)
        elif what == "exit" and symbol in self.ledger.held:
            self.trigger(symbol, list(ev.ExitReason)[part % 6])
        elif what == "fund" and symbol in self.ledger.held:
            self.process(ev.FundingSettled(self.now, symbol, 1, 1, move * SCALE))
        elif what == "timer":
            marks = tuple(self.price[s] for s in self.engine.portfolio.positions)
            rows = self.process(ev.TimerFired(self.now, "E5", 0, marks, 0, 0))
            taken = of_kind(rows, ev.CheckpointTaken)[0]
            assert (taken.equity, taken.ledger_difference) == (self.ledger.equity(self.price), 0)
        elif what in ("halt", "resume", "flatten"):
            self.process(ev.CommandReceived(self.now, 1, ev.Command(what), "test"))
        elif self.ledger.live:
            self.venue(what, list(self.ledger.live)[pick % len(self.ledger.live)], part, move)

    def signal(self, symbol: str, strategy: str, side: int) -> None:
        self.signals += 1
        marks = tuple(self.price[s] for s in self.engine.portfolio.positions)
        stop = self.price[symbol] // 100
        more = {"target2_distance": 3 * stop, "target1_distance": stop, "stop_distance": stop}
        about = {"strategy": strategy, "price": self.price[symbol], "marks": marks}
        self.process(signal(self.now, symbol, side, **more, **about))

    def trigger(self, symbol: str, reason: ev.ExitReason) -> None:
        closing = any(
            order[0].symbol == symbol and order[0].purpose is ev.Purpose.EXIT
            for order in self.ledger.live.values()
        )
        rows = self.process(ev.ExitTriggered(self.now, symbol, reason, self.price[symbol], 0))
        assert closing or of_kind(rows, ev.OrderRequested), "an exit was held back"

    def venue(self, what: str, order_id: int, part: int, move: int) -> None:
        request, done, unknown = self.ledger.live[order_id]
        if what == "fill":
            left = request.qty - done
            qty = left if part > 6 else max(STEP, left * part // 8 // STEP * STEP)
            self.fill_id += 1
            price = self.fill_price(request, move)
            self.process(filled(request, self.fill_id, qty, price, self.now))
        elif what == "expire":
            self.process(ev.OrderExpired(self.now, order_id, request.symbol, done))
        elif what == "unknown" and not unknown:
            self.process(ev.OrderUnknown(self.now, order_id, request.symbol))
        elif what == "reject" and (unknown or not done):
            self.process(ev.OrderRejected(self.now, order_id, request.symbol, -1, "no"))
        elif what == "unsent" and not done and not unknown:
            self.process(ev.OrderUnsent(self.now, order_id, request.symbol))

    def fill_price(self, request: ev.OrderRequested, move: int) -> int:
        price = self.price[request.symbol] + move * 17 + 3
        if not request.limit_price:
            return price  # exits take any price: this is where losses come from
        if request.side > 0:
            return min(request.limit_price, price)
        return min(max(request.limit_price, price), request.limit_price * 1002 // 1000)


WEIGHTED = {
    "signal": 8,
    "fill": 10,
    "exit": 3,
    "expire": 1,
    "unknown": 1,
    "reject": 1,
    "unsent": 1,
    "fund": 1,
    "timer": 1,
    "halt": 1,
    "flatten": 1,
    "resume": 5,
}
KINDS, WEIGHTS = list(WEIGHTED), list(WEIGHTED.values())
ACTIONS = st.tuples(
    st.sampled_from([kind for kind, weight in WEIGHTED.items() for _ in range(weight)]),
    st.integers(0, 11),
    st.integers(0, 9),
    st.integers(-60, 60),
)


@settings(max_examples=120, deadline=None)
@given(policy=st.sampled_from(("ignore", "close", "flip")), actions=st.lists(ACTIONS, max_size=60))
def test_budget_and_books_are_exact_after_every_fact(policy: str, actions: list[tuple[Any, ...]]) -> None:
    twin = Twin(policy)
    for action in actions:
        twin.act(*action)


@settings(max_examples=30, deadline=None)
@given(actions=st.lists(ACTIONS, max_size=40), cut=st.integers(0, 40))
def test_folding_the_rows_gives_the_state_that_made_them(actions: list[tuple[Any, ...]], cut: int) -> None:
    twin = Twin("flip")
    rows: list[ev.Row] = []
    keep = twin.engine.process
    first = engine(twin.engine.limits)

    def keeping(fact: ev.Row) -> list[ev.Row]:
        made = keep(fact)
        rows.extend(made)
        return made

    twin.engine.process = keeping  # type: ignore[method-assign]
    for action in actions:
        twin.act(*action)
    for row in rows:
        first.apply(row)
    assert first.state_hash() == twin.engine.state_hash()


def test_losses_that_shrink_the_budget_are_a_row_and_no_violation() -> None:
    twin = Twin("ignore")
    for number in range(3):
        twin.now += SECOND
        twin.signal(SYMBOLS[number], "coin", 1)
        request = next(iter(twin.ledger.live.values()))[0]
        twin.fill_id += 1
        twin.process(filled(request, twin.fill_id, request.qty, request.limit_price, twin.now))
    twin.trigger(SYMBOLS[0], ev.ExitReason.STOP)
    request = next(iter(twin.ledger.live.values()))[0]
    rows = twin.process(filled(request, twin.fill_id + 1, request.qty, units(1), twin.now))
    over = of_kind(rows, ev.BudgetOver)
    assert twin.ledger.used("coin") <= twin.ledger.balance() * ALLOCATION["coin"] // SCALE or len(over) == 1
    twin.process(ev.FundingSettled(twin.now, SYMBOLS[1], 1, 1, -units(20_000)))
    assert twin.engine.portfolio.get_available_budget("coin") == 0
    twin.now += SECOND
    twin.signal(SYMBOLS[0], "coin", 1)
    assert twin.engine.score.refused[ev.Reason.PORTFOLIO_BUDGET] == 1


def test_long_random_lives_keep_the_books_and_reach_every_corner() -> None:
    reached: set[str] = set()
    for seed in range(60):
        rng = random.Random(seed)
        twin = Twin(rng.choice(("ignore", "close", "flip")))
        for _ in range(120):
            what = rng.choices(KINDS, WEIGHTS)[0]
            twin.act(what, rng.randint(0, 11), rng.randint(0, 9), rng.randint(-60, 60))
        score = twin.engine.score
        reached |= {code.value for code, count in score.refused.items() if count}
        reached |= {"closed"} if score.closed else set()
        reached |= {"over"} if twin.engine._over else set()
        reached |= {"add"} if any(p.adds for p in twin.engine.portfolio.positions.values()) else set()
    assert {"closed", "add", "portfolio_budget", "duplicate_entry", "ready_gate"} <= reached
