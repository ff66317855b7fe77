"""A recorded run that was changed afterwards, hash chain and all, does not verify; the row is named."""

from __future__ import annotations

import shutil
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from flowguardian.journal.chain import GENESIS, link
from flowguardian.journal.journal import JOURNAL, TAPE
from flowguardian.market.records import ROW, Kind
from flowguardian.market.tape import HEADER, segment_paths
from flowguardian.ops.verify import verify
from tests.golden.market_run import make_run


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("recorded") / "run"
    make_run(run_dir)
    return run_dir


@pytest.fixture
def run(recorded: Path, tmp_path: Path) -> Path:
    shutil.copytree(recorded, tmp_path / "run")
    return tmp_path / "run"


def _change(run_dir: Path, kind: str, change: Callable[[dict[str, object]], None]) -> int:
    """Change the body of the middle row of a kind and chain all hashes anew; returns its seq."""
    db = sqlite3.connect(run_dir / JOURNAL, isolation_level=None)
    seqs = [row[0] for row in db.execute("SELECT seq FROM rows WHERE kind = ? ORDER BY seq", (kind,))]
    seq = seqs[len(seqs) // 2]
    body = msgspec.json.decode(db.execute("SELECT body FROM rows WHERE seq = ?", (seq,)).fetchone()[0])
    change(body)
    db.execute("UPDATE rows SET body = ? WHERE seq = ?", (msgspec.json.encode(body).decode(), seq))
    previous = GENESIS
    for number, ts_ns, name, text in db.execute(
        "SELECT seq, ts_ns, kind, body FROM rows ORDER BY seq"
    ).fetchall():
        previous = link(previous, number, ts_ns, name, text.encode())
        db.execute("UPDATE rows SET hash = ? WHERE seq = ?", (previous, number))
    db.close()
    return int(seq)


def test_an_untouched_run_verifies(run: Path) -> None:
    verified = verify(run)
    assert verified.ok, verified.message
    assert verified.checkpoints > 10


@pytest.mark.parametrize(
    ("kind", "field", "by"),
    [
        ("OrderRequested", "qty", 10_000_000),
        ("OrderFilled", "price", 1_000_000),
        ("EntryRefused", "bar_ns", 1),
    ],
)
def test_a_changed_row_is_named(run: Path, kind: str, field: str, by: int) -> None:
    def change(body: dict[str, object]) -> None:
        body[field] += by  # type: ignore[operator]

    seq = _change(run, kind, change)
    verified = verify(run)
    assert not verified.ok
    assert verified.row == seq
    assert kind in verified.message


def test_a_changed_tape_price_is_named_by_the_first_row_it_changes(run: Path) -> None:
    db = sqlite3.connect(run / JOURNAL)
    opened = db.execute("SELECT ts_ns, body FROM rows WHERE kind = 'OrderFilled' ORDER BY seq").fetchall()
    db.close()
    ts_ns, body = opened[len(opened) // 2]
    fill = msgspec.json.decode(body)
    path = segment_paths(run / TAPE)[0]
    data = bytearray(path.read_bytes())
    changed = _raise_prices(data, ts_ns)
    assert changed, "the fill's stamp must stand on the tape"
    path.write_bytes(data)
    verified = verify(run)
    assert not verified.ok
    assert verified.row > 0
    assert str(fill["order_id"]) in verified.message or "differs" in verified.message


def _raise_prices(data: bytearray, ts_ns: int) -> int:
    """Raise the trade and top prices of the second around `ts_ns` by 1 % and repair the block checksums."""
    offset = changed = 0
    while offset < len(data):
        header = np.frombuffer(data, HEADER, 1, offset)
        start = offset + HEADER.itemsize
        rows = np.frombuffer(data, ROW, int(header["count"][0]), start)
        near = (np.abs(rows["ts_ns"] - ts_ns) < 1_000_000_000) & (
            (rows["kind"] == Kind.TRADE) | (rows["kind"] == Kind.TOP)
        )
        if near.any():
            rows["a"][near] += rows["a"][near] // 100
            rows["c"][near] += rows["c"][near] // 100
            header["crc"] = zlib.crc32(rows.tobytes())
            changed += int(near.sum())
        offset = start + rows.nbytes
    return changed
