"""Funding from the venue's record of income: each line once, whatever was told, asked or restarted."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from flowguardian.brokers.desk import Desk, LiveOptions
from flowguardian.brokers.incomes import PAGE, Incomes
from flowguardian.brokers.signed import OutcomeUnknown
from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.feeds.pace import HostPace
from tests.builders import HOUR, T0, engine

LIVE_NS = T0


class Venue:
    """Its lines of income; `asked` holds what was asked for."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.asked: list[dict[str, Any]] = []
        self.away = False

    def line(self, number: int, at_ns: int, symbol: str = "BTCUSDT", **changed: Any) -> None:
        one = {
            "symbol": symbol, "incomeType": "FUNDING_FEE", "income": "-0.375", "asset": "USDT",
            "time": at_ns // 1_000_000, "tranId": number, "info": "", "tradeId": "",
        }  # fmt: skip
        self.lines.append(one | changed)

    async def get(self, path: str, weight: int, **params: Any) -> Any:
        self.asked.append(params)
        if self.away:
            raise OutcomeUnknown("timeout")
        found = [
            one
            for one in self.lines
            if one["time"] >= params["startTime"] and one["incomeType"] == params["incomeType"]
        ]
        return found[: params["limit"]]


class Scene:
    """The incomes of an engine that went live at T0."""

    def __init__(self, of: Engine | None = None, venue: Venue | None = None) -> None:
        self.venue = venue or Venue()
        self.engine = of or engine()
        self.now_ns, self.live_ns = T0, LIVE_NS
        self.desk = Desk(
            cast("Any", self.venue), self.engine, LiveOptions("tag"), pace=HostPace(),
            now_ns=lambda: self.now_ns, live_ns=lambda: self.live_ns, on_facts=lambda: None,
        )  # fmt: skip
        self.incomes = Incomes(self.desk)

    def looked(self) -> list[ev.Row]:
        """What one look found, put into the books."""
        asyncio.run(self.incomes.look_for_funding())
        found = [row for row in self.desk.facts if isinstance(row, ev.FundingSettled)]
        self.desk.facts.clear()
        for row in found:
            self.engine.process(row)
        return list(found)


def test_each_symbol_of_one_moment_has_its_own_amount_and_each_line_is_booked_once() -> None:
    scene = Scene()
    scene.venue.line(7, T0 + HOUR)
    scene.venue.line(8, T0 + HOUR, "ETHUSDT", income="0.125")
    at_ns = T0 + HOUR
    assert scene.looked() == [
        ev.FundingSettled(0, "BTCUSDT", 0, 0, -37_500_000, 7, at_ns),
        ev.FundingSettled(0, "ETHUSDT", 0, 0, 12_500_000, 8, at_ns),
    ]
    assert scene.looked() == [] and scene.engine.portfolio.funding == -25_000_000


def test_a_restart_books_what_is_missing_and_nothing_again() -> None:
    first = Scene()
    first.venue.line(7, T0 + HOUR)
    first.looked()
    first.venue.line(8, T0 + HOUR, "ETHUSDT")
    again = Scene(first.engine, first.venue)
    assert [cast("ev.FundingSettled", row).tran_id for row in again.looked()] == [8]


def test_what_was_before_the_run_or_of_other_symbols_or_in_other_money_is_not_its_own() -> None:
    scene = Scene()
    scene.venue.line(1, T0 - HOUR)
    scene.venue.line(2, T0 + HOUR, "DOGEUSDT")
    scene.venue.line(3, T0 + HOUR, asset="BNB")
    scene.venue.line(4, T0 + HOUR, incomeType="TRANSFER", symbol="")
    assert scene.looked() == []
    scene.live_ns = 0
    assert scene.looked() == [] and len(scene.venue.asked) == 1, "before it is live there is nothing to ask"


def test_lines_beyond_a_page_are_asked_for() -> None:
    scene = Scene()
    for number in range(1, PAGE + 300):
        scene.venue.line(number, T0 + number // 2 * 1_000_000)
    assert len(scene.looked()) == PAGE + 299
    assert len(scene.venue.asked) == 2


def test_every_full_hour_is_looked_at_once_and_again_when_it_failed() -> None:
    scene = Scene()

    def passed(seconds: float) -> int:
        scene.now_ns += round(seconds * 10**9)
        before = len(scene.venue.asked)
        asyncio.run(scene.incomes.after_funding_time())
        return len(scene.venue.asked) - before

    assert (passed(60), passed(10)) == (1, 0)
    assert passed(3600 - 70 + 1) == 0, "the venue has not written it down yet"
    scene.venue.away = True
    assert (passed(60), passed(10)) == (1, 1)
    scene.venue.away = False
    assert (passed(10), passed(10)) == (1, 0)


def test_what_wallet_and_books_agreed_on_long_ago_is_not_asked_for_again() -> None:
    scene = Scene()
    scene.looked()
    scene.incomes.agreed(T0 + 30 * HOUR)
    scene.looked()
    assert [one["startTime"] for one in scene.venue.asked] == [
        at_ns // 1_000_000 for at_ns in (T0, T0 + 29 * HOUR)
    ]


def test_many_events_of_one_moment_are_one_or_two_questions() -> None:
    scene = Scene()

    async def told() -> None:
        for _ in range(30):
            scene.incomes.told()
        await scene.desk.quiet(5)
        scene.incomes.told()
        await scene.desk.quiet(5)

    asyncio.run(told())
    assert len(scene.venue.asked) == 2


def test_a_line_that_comes_twice_is_a_violation() -> None:
    row = ev.FundingSettled(T0, "BTCUSDT", 0, 0, 5, 7, T0)
    of = engine()
    assert not [one for one in of.process(row) if isinstance(one, ev.InvariantViolated)]
    (found,) = [one for one in of.process(row) if isinstance(one, ev.InvariantViolated)]
    assert found.invariant == "I04"
