"""The judge on funding of a live run: the venue's figure stands, and a line that cannot be true is found."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from flowguardian.acceptance.funding import FundingRule
from flowguardian.acceptance.ledger import Held, Ledger
from flowguardian.execution import events as ev

HOUR, SECOND = 3600 * 10**9, 10**9
OPENED, CLOSED = 10 * HOUR, 14 * HOUR
SYMBOL = "BTCUSDT"


class Scene:
    """A run of two symbols that held one from 10 to 14 o'clock; its order was decided a minute before."""

    def __init__(self) -> None:
        self.found: list[str] = []
        evidence = SimpleNamespace(started=SimpleNamespace(symbols=(SYMBOL, "ETHUSDT")))
        self.rule = FundingRule(
            cast("Any", evidence), cast("Any", None), lambda _check, _seq, text: self.found.append(text),
            exact=False,
        )  # fmt: skip
        request = cast("Any", SimpleNamespace(ts_ns=OPENED - 60 * SECOND))
        fill = ev.OrderFilled(OPENED, 1, 1, SYMBOL, 1, 1, 1, 0)
        self.rule.moved(fill, {SYMBOL: Held(SYMBOL, "", 1, OPENED)}, request)

    def closed(self) -> Scene:
        self.rule.moved(ev.ClosedByVenue(CLOSED, SYMBOL, 1, 1, 0, 2, ev.ExitReason.STOP), {}, None)
        return self

    def checked(self, **changed: Any) -> list[str]:
        """What is wrong with funding of noon, changed so."""
        fields: dict[str, Any] = {"symbol": SYMBOL, "amount": 5, "tran_id": 7, "settled_ns": 12 * HOUR}
        self.found.clear()
        self.rule.check(1, ev.FundingSettled(15 * HOUR, rate=0, mark=0, **(fields | changed)), None)
        return list(self.found)


def test_what_the_venue_settled_while_the_symbol_was_held_is_right_whatever_its_amount() -> None:
    scene = Scene()
    assert scene.checked(amount=-123_456) == []
    assert scene.checked(amount=9, tran_id=8, settled_ns=13 * HOUR) == []
    assert Scene().closed().checked() == [], "and it may be found after the position was closed"


def test_an_order_that_filled_before_its_fill_was_known_was_held_since_then() -> None:
    assert Scene().checked(settled_ns=OPENED - 30 * SECOND) == []


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"symbol": "DOGEUSDT"}, "does not trade"),
        ({"symbol": ""}, "does not trade"),
        ({"tran_id": 0}, "without the venue's id"),
        ({"settled_ns": 0}, "without the venue's id"),
        ({"symbol": "ETHUSDT"}, "not held then"),
        ({"settled_ns": OPENED - 120 * SECOND}, "not held then"),
        ({"settled_ns": CLOSED + 30 * SECOND}, "not held then"),
        ({"settled_ns": 16 * HOUR}, "before it was settled"),
    ],
)
def test_a_line_that_cannot_be_is_found(changed: dict[str, Any], word: str) -> None:
    assert any(word in text for text in Scene().closed().checked(**changed))


@pytest.mark.parametrize("changed", [{"settled_ns": 13 * HOUR}, {"tran_id": 8}])
def test_an_id_or_an_hour_that_comes_again_is_found(changed: dict[str, Any]) -> None:
    scene = Scene()
    assert scene.checked() == []
    assert any("booked twice" in text for text in scene.checked(**changed))


def test_funding_settled_before_a_position_was_opened_is_none_of_its_own() -> None:
    ledger = Ledger(0)
    ledger.positions[SYMBOL] = held = Held(SYMBOL, "", 1, OPENED)
    ledger.fund(ev.FundingSettled(15 * HOUR, SYMBOL, 0, 0, 5, 7, OPENED - HOUR))
    assert (ledger.funding, held.funding) == (5, 0)
    ledger.fund(ev.FundingSettled(15 * HOUR, SYMBOL, 0, 0, 6, 8, OPENED + HOUR))
    assert (ledger.funding, held.funding) == (11, 6)
