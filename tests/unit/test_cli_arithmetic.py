"""The arithmetic of `explain` is a second opinion on the sizer: same numbers, other code."""

from __future__ import annotations

import json
import random
from collections import Counter
from decimal import Decimal

import pytest

from flowguardian.cli.arithmetic import Arithmetic
from flowguardian.cli.books import Books
from flowguardian.execution import events as ev
from flowguardian.execution.money import units
from flowguardian.execution.portfolio_manager import PortfolioManager
from flowguardian.execution.position_sizer import PositionSizer, Sized
from flowguardian.ops.limits import limits_of
from flowguardian.ops.loading import load
from flowguardian.ops.merging import canonical
from tests.builders import INSTRUMENTS, T0, filled, signal

CASES = 300
STRATEGY = "scalping"


def _settings(rng: random.Random) -> list[str]:
    return [
        f"position_sizing.multi_position_scaling={rng.choice(('true', 'true', 'false'))}",
        f"position_sizing.allow_partial_entry={rng.choice(('true', 'true', 'true', 'false'))}",
        f"position_sizing.min_position_notional={rng.choice((20, 100, 2000))}",
        f"risk.max_exposure_per_symbol={rng.choice(('0.05', '0.35'))}",
        f"portfolio.max_total_exposure={rng.choice(('0.12', '0.95'))}",
        f"risk.max_positions={rng.choice((3, 5))}",
        f"account.equity={rng.choice((50_000, 100_000))}",
    ]


def _both_books(rng: random.Random, loaded, limits):
    """The same fills and waiting orders in the engine's portfolio and in the reader's books."""
    portfolio = PortfolioManager(limits)
    config = json.loads(canonical(loaded.effective), parse_float=Decimal)
    start = limits.start_equity
    books = Books(config, start, start, start, start)
    for number, instrument in enumerate(INSTRUMENTS[1:], start=1):
        if rng.random() < 0.4:
            continue
        qty = units(rng.randint(1, 60))
        order = _entry(number, instrument.symbol, qty)
        portfolio.request(order)
        books.apply(number, order)
        if rng.random() < 0.7:
            part = qty if rng.random() < 0.5 else qty // 3
            fill = filled(order, number, part, units(100))
            portfolio.fill(fill, portfolio.orders.get(number))
            books.apply(number, fill)
    return portfolio, books


def _entry(number: int, symbol: str, qty: int) -> ev.OrderRequested:
    return ev.OrderRequested(
        T0, number, symbol, STRATEGY, 1, ev.Purpose.ENTRY, qty, units(101), qty * 102, "A", "risk", T0,
        units(1), units(2), 0, 0, 0, units(50_000), (),
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_every_size_and_every_refusal_comes_out_as_in_the_sizer(seed):
    rng = random.Random(seed)
    seen: Counter[str] = Counter()
    for _ in range(CASES // 5):
        loaded = load(None, _settings(rng), env={})
        limits = limits_of(loaded.settings)
        portfolio, books = _both_books(rng, loaded, limits)
        side = rng.choice((1, -1))
        asked = signal(
            T0, side=side, strategy=STRATEGY, bid=units("99.99"), ask=units("100.01"),
            stop_distance=rng.choice((0, units("0.05"), units("0.3"), units(4), units(900))),
            atr=rng.choice((0.05, 1.0, 3.0)),
        )  # fmt: skip
        equity = limits.start_equity + units(rng.randint(-2000, 2000))
        theirs = PositionSizer(limits, portfolio).size(asked, INSTRUMENTS[0], equity)
        mine = Arithmetic(asked, INSTRUMENTS[0], books, equity).work()
        if isinstance(theirs, Sized):
            assert (mine.code, mine.qty, mine.limit_price, mine.reserved, mine.bound) == (
                "", theirs.qty, theirs.limit_price, theirs.reserved, theirs.bound,
            )  # fmt: skip
            seen[theirs.bound] += 1
        else:
            refused = theirs[0]
            assert (mine.code, float(mine.limit), float(mine.value)) == (
                refused.code, refused.limit, refused.value,
            )  # fmt: skip
            seen[refused.code.value] += 1
    assert len(seen) >= 3, f"seed {seed} reached {dict(seen)} only"
