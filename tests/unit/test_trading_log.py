"""The trading log: the tags operators know, from rows, written once; files that grow are never renamed."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowguardian.execution import events as ev
from flowguardian.ops.growing_file import GrowingFile
from flowguardian.ops.trading_log import TradingLog, told
from tests.unit.journal_builder import Story
from tests.unit.run_files import T0

REFUSED = ev.EntryRefused(
    T0, "BTCUSDT", "scalping", -1, T0, ev.Reason.SYMBOL_COOLDOWN, 90.0, 53.4, "time", T0, ()
)
REDUCED = ev.EntryReduced(T0, "BTCUSDT", "scalping", 1, ev.Reason.EXPOSURE, 12_000 * 10**8, 8_000 * 10**8)
BLOCKED = ev.EntryRefused(
    T0, "ETHUSDT", "scalping", 1, T0, ev.Reason.PORTFOLIO_BUDGET, 5e8, 2.5e8, "budget", 0, ()
)


@pytest.mark.parametrize(
    ("row", "begin", "parts"),
    [
        (REFUSED, "[ENTRY BLOCK] reason=symbol_cooldown BTCUSDT SHORT", ("limit 90 s", "release=time")),
        (BLOCKED, "[ENTRY BLOCK] reason=portfolio_budget ETHUSDT LONG", ("value 2.5 limit 5 USDT",)),
        (REDUCED, "[ENTRY REDUCED] reason=exposure BTCUSDT LONG", ("wanted 12,000.00 USDT", "room 8,000.00")),
    ],
)
def test_what_held_an_entry_back_is_told_with_its_reason_and_amounts(
    row: ev.Row, begin: str, parts: tuple[str, ...]
) -> None:
    text = told(row)
    assert text is not None and text.startswith(begin)
    assert all(part in text for part in parts), text


def test_each_entry_cap_and_exit_of_a_run_has_its_line_and_facts_of_the_market_have_none() -> None:
    rows = Story().rows
    lines = [text for row in rows if (text := told(row)) is not None]

    def tagged(tag: str) -> int:
        return sum(line.startswith(tag) for line in lines)

    def of(kind: type[ev.Row]) -> int:
        return sum(isinstance(row, kind) for row in rows)

    assert tagged("[ENTRY SUCCESS] ") == of(ev.PositionOpened) > 0
    assert tagged("[Budget Cap Applied] ") == of(ev.BudgetCapped) > 0
    assert tagged("[ENTRY BLOCK] reason=") == of(ev.EntryRefused)
    assert tagged("[EXIT] ") == of(ev.PositionClosed) > 0
    assert not [row for row in rows if isinstance(row, ev.Signal | ev.OrderFilled) and told(row)]
    assert all("\n" not in line for line in lines)


def test_a_restarted_log_goes_on_after_the_last_line_and_writes_nothing_twice(tmp_path: Path) -> None:
    rows = list(enumerate(Story().rows, 1))
    half = len(rows) // 2
    for part in (rows[:half], rows, rows):
        log = TradingLog(tmp_path, "run-1", max_bytes=10**6, max_files=3)
        log.write(part)
        log.close()
    lines = (tmp_path / "trading.log").read_text(encoding="utf-8").splitlines()
    assert len(lines) == sum(told(row) is not None for _, row in rows)
    assert all(" UTC (" in line and "KST) run=run-1 seq=" in line for line in lines)


def test_a_large_log_goes_on_in_a_numbered_file_and_the_oldest_are_removed(tmp_path: Path) -> None:
    for life in range(3):
        log = TradingLog(tmp_path, "run-1", max_bytes=1500, max_files=3)
        for number in range(40):
            log.write([(life * 40 + number + 1, REFUSED)])
        log.close()
        names = sorted(path.name for path in tmp_path.iterdir())
        assert len(names) <= 3
    lines = [line for name in names for line in (tmp_path / name).read_text(encoding="utf-8").splitlines()]
    seqs = [int(line.split("seq=")[1].split(" ")[0]) for line in lines]
    assert seqs == list(range(seqs[0], 121)), "in order over the files, up to the last row"
    assert all(path.stat().st_size < 1800 for path in tmp_path.iterdir())


def test_a_file_keeps_its_name_while_it_grows_and_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "engine-20250521-777.jsonl").write_text("other\n" * 100, encoding="utf-8")
    (tmp_path / "supervisor-1.jsonl").write_text("x", encoding="utf-8")
    file = GrowingFile(tmp_path, "engine-", ".jsonl", max_bytes=100, max_files=3)
    for _ in range(10):
        file.write("engine-20250521-77", "비트코인 ₿ \ud800 " + "y" * 40 + "\n")
    file.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        "engine-20250521-77-003.jsonl", "engine-20250521-77-004.jsonl", "engine-20250521-77-005.jsonl",
        "supervisor-1.jsonl",
    ], "the oldest of the family went, and nothing of another"  # fmt: skip
    newest = (tmp_path / "engine-20250521-77-005.jsonl").read_bytes()
    assert newest.decode("utf-8").startswith("비트코인 ₿ \\ud800") and b"\r" not in newest
