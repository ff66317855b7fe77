"""How views read the journal and keep apart: without a server, with stores that do what a test says."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence

import pytest

from flowguardian.execution import events as ev
from flowguardian.journal.chain import GENESIS, ChainWriter, Record
from flowguardian.journal.journal import JOURNAL
from flowguardian.journal.view_worker import ViewWorker
from flowguardian.journal.views import (
    OPS,
    START,
    Mark,
    Marks,
    Source,
    StoreTrouble,
    Tail,
    is_complete,
    storable_tree,
    without_secrets,
)
from flowguardian.ops.stores import available, off_because
from tests.views.journals import PACE, drained, told, wait_for, wait_until, worker


class MemoryView:
    """A store in memory that fails when it is told to, and may hang."""

    name = "memory"

    def __init__(self) -> None:
        self.rows: dict[Source, list[Record]] = {source: [] for source in Source}
        self.trouble = ""
        self.batches: list[int] = []
        self.opened = self.dropped = self.tries = 0
        self.gate = threading.Event()
        self.gate.set()
        self.cut = threading.Event()

    def view(self) -> MemoryView:
        return self

    def place(self) -> str:
        return "memory"

    def connect(self) -> Marks:
        self.opened += 1
        self._answer()
        return {source: Mark(rows[-1].seq, rows[-1].hash) for source, rows in self.rows.items() if rows}

    def deliver(self, source: Source, records: Sequence[Record]) -> None:
        self.batches.append(len(records))
        self._answer()
        self.rows[source].extend(records)

    def beat(self, seq: int, market_ns: int) -> None:
        self._answer()

    def drop(self) -> int:
        self.dropped += 1
        self.rows = {source: [] for source in Source}
        return 0

    def abort(self) -> None:
        self.cut.set()

    def close(self) -> None:
        self.cut.clear()

    def _answer(self) -> None:
        self.tries += 1
        while not self.gate.is_set():
            if self.cut.wait(0.01):
                raise StoreTrouble("cut")
        if self.trouble:
            raise StoreTrouble(self.trouble)


def rows_of(count: int) -> list[tuple[int, str, bytes]]:
    return [(number, "WentLive", ev.encode(ev.WentLive(number))) for number in range(count)]


def test_a_reader_holds_no_transaction_so_that_the_log_can_be_folded_in(tmp_path):
    writer = ChainWriter(tmp_path / JOURNAL)
    writer.append(rows_of(3000), durable=False)
    tail = Tail(tmp_path / JOURNAL)
    seen, batches = 0, 0
    while found := tail.after(seen):
        seen, batches = found[-1].seq, batches + 1
        assert len(found) <= 1000
        writer.append(rows_of(1), durable=False)
        db = sqlite3.connect(tmp_path / JOURNAL)
        # busy, pages in the log, pages folded in: a reader in a transaction would keep some back.
        busy, pages, folded = db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        db.close()
        assert busy == 0 and pages == folded
        if batches > 4:
            break
    assert batches > 4 and seen > 3000
    tail.close()
    writer.close()


def test_a_long_reader_would_have_been_noticed_by_that_test(tmp_path):
    writer = ChainWriter(tmp_path / JOURNAL)
    writer.append(rows_of(3000), durable=False)
    reader = sqlite3.connect(tmp_path / JOURNAL, isolation_level=None)
    cursor = reader.execute("SELECT * FROM rows")
    cursor.fetchone()
    writer.append(rows_of(10), durable=False)
    db = sqlite3.connect(tmp_path / JOURNAL, timeout=0.05)
    busy, pages, folded = db.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
    assert busy or pages != folded
    db.close()
    cursor.close()
    reader.close()
    writer.close()


def test_a_tail_waits_for_a_file_that_is_not_there_yet_or_has_no_table(tmp_path):
    tail = Tail(tmp_path / JOURNAL)
    assert tail.after(0) == [] and tail.last() is None
    sqlite3.connect(tmp_path / JOURNAL).execute("PRAGMA journal_mode=WAL").close()
    assert tail.after(0) == [] and tail.holds(START)
    assert not tail.holds(Mark(1, GENESIS))
    records = told(tmp_path)
    assert tail.after(0) == records
    assert tail.holds(Mark(3, records[2].hash)) and not tail.holds(Mark(3, records[3].hash))
    tail.close()


def test_a_run_is_complete_when_engine_and_supervisor_have_said_so(tmp_path):
    records = told(tmp_path)
    journal, ops = Tail(tmp_path / JOURNAL), Tail(tmp_path / OPS)
    assert records[-1].kind == "SegmentEnded"
    assert is_complete(journal, ops)
    assert is_complete(journal, Tail(tmp_path / "none.db"))
    assert not is_complete(journal, journal)
    writer = ChainWriter(tmp_path / JOURNAL)
    writer.append([(9, "SegmentStarted", b"{}")], durable=False)
    writer.close()
    assert not is_complete(journal, ops)
    journal.close()
    ops.close()


def test_a_view_gets_every_row_once_in_order_in_batches(tmp_path):
    records, store = told(tmp_path), MemoryView()
    drained(worker(store, tmp_path))
    assert store.rows[Source.JOURNAL] == records
    assert store.rows[Source.OPS]
    assert max(store.batches) == PACE.batch_rows


def test_a_view_in_trouble_tries_again_says_it_once_and_catches_up(tmp_path):
    records, store = told(tmp_path), MemoryView()
    store.trouble = "no room"
    said: list[str] = []
    busy = worker(store, tmp_path, said)
    wait_until(lambda: store.opened > 3, lambda: store.opened)
    standing = busy.standing(len(records))
    assert (standing.state, standing.why, standing.behind) == ("waiting", "no room", len(records))
    assert standing.since and standing.troubles >= 3
    store.trouble = ""
    wait_for(busy, "current", len(records))
    drained(busy)
    assert store.rows[Source.JOURNAL] == records
    assert [text.partition(":")[0] for text in said] == ["warning", "info"]


def test_a_hung_view_is_cut_and_delays_no_other(tmp_path):
    records, hung, well = told(tmp_path), MemoryView(), MemoryView()
    hung.gate.clear()
    stuck, other = worker(hung, tmp_path), worker(well, tmp_path)
    wait_for(other, "current", len(records))
    assert wait_for(stuck, "waiting", len(records)).why in ("the server does not answer", "cut")

    def tried_again() -> bool:
        stuck.watch()
        return hung.opened > 1

    wait_until(tried_again, lambda: stuck.standing(0))
    hung.gate.set()
    wait_for(stuck, "current", len(records))
    drained(stuck)
    drained(other)
    assert hung.rows == well.rows


def test_a_view_that_is_told_to_leave_leaves_though_its_store_hangs(tmp_path):
    told(tmp_path)
    store = MemoryView()
    store.gate.clear()
    stuck = worker(store, tmp_path)
    wait_until(lambda: store.tries, lambda: store.tries)
    stuck.leave()
    wait_until(lambda: not stuck.thread.is_alive(), lambda: stuck.standing(0))
    assert not stuck.drained


def test_a_store_with_rows_that_the_journal_lost_is_built_anew(tmp_path):
    records, store = told(tmp_path), MemoryView()
    store.rows[Source.JOURNAL] = [records[0]._replace(hash="f" * 64)]
    said: list[str] = []
    drained(worker(store, tmp_path, said))
    assert store.dropped == 1 and store.rows[Source.JOURNAL] == records
    assert any("another journal" in text for text in said)


def test_the_wait_doubles_up_to_its_limit():
    waits: list[float] = []

    class Clockless(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    lazy = ViewWorker(MemoryView(), None, PACE, lambda *_: None, until_complete=False)  # type: ignore[arg-type]
    lazy._finish = Clockless()
    for _ in range(200):
        lazy._troubled("down")
        lazy._pause()
    assert waits[:3] == [0.05, 0.1, 0.2]
    assert set(waits[3:]) == {0.2}


@pytest.mark.parametrize(
    ("address", "text", "wanted"),
    [
        ("redis://:s3cret@h:1/0", "no s3cret at redis://:s3cret@h:1/0", "no *** at redis://:***@h:1/0"),
        ("postgresql://me:a@b@h/d", "host b@h of a", "host ***@h of ***"),
        ("redis://h", "cannot reach redis://h", "cannot reach ***"),
        ("", "nothing", "nothing"),
    ],
)
def test_a_message_loses_the_password_of_its_address(address, text, wanted):
    assert without_secrets(text, address) == wanted


def test_nul_is_shown_everywhere_in_a_tree():
    assert storable_tree({"a\0": ["b\0", {"c": "\0"}, 1, None]}) == {"a␀": ["b␀", {"c": "␀"}, 1, None]}


def test_a_missing_wheel_is_off_with_a_reason_and_never_an_error(monkeypatch):
    from flowguardian.ops import stores
    from flowguardian.ops.settings_stores import Stores

    monkeypatch.setattr(stores, "find_spec", lambda name: None if "embedded" in name else object())
    assert "no server wheel" in available()["redis"]
    assert "extra postgres" in available()["postgres"]
    off = off_because(Stores(mode="urls", redis_url="redis://h"), {})
    assert off["redis"] == "" and "FLOWGUARDIAN_POSTGRES_URL" in off["postgres"]
