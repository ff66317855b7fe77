"""Replay: the tape and the exogenous facts give every row again, and what was changed is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from flowguardian.execution import events as ev
from flowguardian.execution.money import units
from flowguardian.execution.replay import ComparingRecorder, ReplayDiverged, exogenous, replay
from flowguardian.journal.chain import GENESIS, Record, link
from flowguardian.journal.journal import JOURNAL, MemoryRecorder, Recorder, read_rows
from flowguardian.market.records import ROW, Kind
from flowguardian.market.tape import read_tape
from tests.builders import INSTRUMENTS, MINUTE, SECOND, T0, Machine, command, digest, limits, market

CHANGED: dict[str, Any] = {
    "latency_max_ns": 2 * SECOND,
    "on_opposite": "flip",
    "allow_add": True,
    "max_adds": 2,
}
COMMANDS = ((500, command(ev.Command.HALT)), (900, command(ev.Command.RESUME)))


def chain(rows: list[ev.Row]) -> list[Record]:
    """Rows as the records of a journal, with every hash right."""
    records, previous = [], GENESIS
    for seq, row in enumerate(rows, 1):
        kind, body = type(row).__name__, ev.encode(row)
        previous = link(previous, seq, row.ts_ns, kind, body)
        records.append(Record(seq, row.ts_ns, kind, body, previous))
    return records


def history() -> Any:
    bars = np.zeros(30, ROW)
    bars["kind"], bars["ts_ns"] = Kind.HISTORY, np.arange(30) + T0 - 100
    bars["symbol"] = np.arange(30) % 3
    bars["venue_ns"] = T0 + (np.arange(30) // 3 - 10) * MINUTE
    for field in "abcd":
        bars[field] = units(100) + np.arange(30) * 1_000_000
    return bars


def live(recorder: Any = None) -> tuple[Machine, Any]:
    machine = Machine(limits(**CHANGED), recorder=recorder)
    machine.loop.fact(ev.InstrumentsSet(T0 - 200, INSTRUMENTS))
    machine.loop.turn(history())
    machine.loop.fact(ev.WentLive(machine.loop.now_ns))
    rows = market(11, minutes=12, funding_every_ns=3 * MINUTE)
    machine.feed(rows, range(0, len(rows), 50), COMMANDS)
    return machine, rows


def again(records: list[Record], blocks: list[Any], onward: Any = None) -> ComparingRecorder:
    facts = exogenous(ev.decode(record.kind, record.body) for record in records)
    comparing = ComparingRecorder(records, onward)
    machine = Machine(limits(**CHANGED), recorder=comparing)
    replay(machine.loop, blocks, facts)
    comparing.finish()
    return comparing


def test_a_recorded_run_is_reproduced_row_by_row() -> None:
    machine, rows = live()
    records = chain(machine.rows)
    comparing = again(records, [history(), *np.array_split(rows, 40)])
    assert (comparing.compared, comparing.beyond) == (len(machine.rows), 0)


def test_a_run_on_disk_is_reproduced_from_its_files(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path)
    live(recorder)
    recorder.close()
    records = [record for record, _ in read_rows(tmp_path / JOURNAL)]
    assert again(records, list(read_tape(tmp_path / "tape"))).compared == len(records) > 100


def one_of(rows: list[ev.Row], kind: type[ev.Row], number: int) -> int:
    return [index for index, row in enumerate(rows) if isinstance(row, kind)][number]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (ev.OrderRequested, "qty"),
        (ev.OrderFilled, "price"),
        (ev.OrderFilled, "fee"),
        (ev.Signal, "price"),
        (ev.EntryRefused, "bar_ns"),
        (ev.CheckpointTaken, "equity"),
        (ev.PositionClosed, "realised"),
        (ev.FundingSettled, "amount"),
    ],
)
def test_a_changed_row_is_named_even_with_every_hash_recomputed(kind: type[ev.Row], field: str) -> None:
    machine, rows = live()
    index = one_of(machine.rows, kind, 0)
    changed = list(machine.rows)
    changed[index] = msgspec.structs.replace(changed[index], **{field: getattr(changed[index], field) + 1})
    with pytest.raises(ReplayDiverged) as error:
        again(chain(changed), [history(), rows])
    assert error.value.seq == index + 1
    assert kind.__name__ in str(error.value)


def test_a_changed_tape_price_is_named_by_the_row_it_leads_to() -> None:
    machine, rows = live()
    index = one_of(machine.rows, ev.Signal, 0)
    at = machine.rows[index].ts_ns
    symbol = ["BTCUSDT", "ETHUSDT", "SOLUSDT"].index(machine.rows[index].symbol)  # type: ignore[attr-defined]
    own = np.flatnonzero((rows["kind"] == Kind.TRADE) & (rows["symbol"] == symbol) & (rows["ts_ns"] <= at))
    rows["a"][own[-1]] += units("0.01")
    with pytest.raises(ReplayDiverged) as error:
        again(chain(machine.rows), [history(), rows])
    assert error.value.seq == index + 1


def test_a_missing_row_and_one_too_many_are_named() -> None:
    machine, rows = live()
    index = one_of(machine.rows, ev.OrderFilled, 1)
    without = machine.rows[:index] + machine.rows[index + 1 :]
    with pytest.raises(ReplayDiverged) as error:
        again(chain(without), [history(), rows])
    assert error.value.seq == index + 1
    late = msgspec.structs.replace(machine.rows[-1], ts_ns=machine.loop.now_ns)
    with pytest.raises(ReplayDiverged, match="nothing"):
        again(chain([*machine.rows, late]), [history(), rows])


def test_a_missing_exogenous_fact_is_noticed() -> None:
    machine, rows = live()
    index = one_of(machine.rows, ev.CommandReceived, 0)
    without = machine.rows[:index] + machine.rows[index + 2 :]
    with pytest.raises(ReplayDiverged):
        again(chain(without), [history(), rows])


@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_run_that_was_cut_off_goes_on_to_the_same_rows(part: float) -> None:
    """The journal ends between two batches; the rows after it are decided as if they had just arrived."""
    machine, rows = live()
    facts = [index for index, row in enumerate(machine.rows) if isinstance(row, (*ev.EXOGENOUS, *ev.DERIVED))]
    cut = facts[int(len(facts) * part)]
    kept, onward = chain(machine.rows[:cut]), MemoryRecorder()
    commands = exogenous(machine.rows)
    comparing = ComparingRecorder(kept, onward)
    second = Machine(limits(**CHANGED), recorder=comparing)
    replay(second.loop, [history(), rows], commands)
    assert digest([*machine.rows[:cut], *onward.rows]) == digest(machine.rows)
    assert comparing.compared == cut
