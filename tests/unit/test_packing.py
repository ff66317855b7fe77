"""A packed run: the same bytes anywhere, or a clear refusal; nothing of the machine it was packed on."""

from __future__ import annotations

import hashlib
import lzma
from pathlib import Path

import msgspec
import pytest

from flowguardian.journal.journal import JOURNAL, TAPE
from flowguardian.ops.manifest import MANIFEST, Manifest, read_manifest
from flowguardian.ops.ownership import RUN_LOCK, owned
from flowguardian.ops.packing import (
    INDEX,
    RECORDS,
    Pack,
    PackDamaged,
    PackedFile,
    PackError,
    opened,
    pack,
    unpack,
)
from flowguardian.ops.platform_lock import LockHeld
from flowguardian.ops.venue_process import PLACE_FILE
from tests.builders import market
from tests.properties.test_tape_coding import block_of

TAPE_FILE = f"{TAPE}/tape-00001.fgt"
LEFT_BEHIND = ("engine.lock", "venue.json", "metrics.json", "supervisor.json", "stores/postgres/secret")


def run_at(run_dir: Path, market_file: Path | None = None) -> Path:
    """The files of a run that was stopped."""
    spec = f"bars:{market_file}" if market_file else "synthetic:7"
    manifest = Manifest(
        run_id=run_dir.name, kind="acceptance", market=spec, start_ns=None, planned_ns=1, speed=1.0, seed=1,
        config=msgspec.Raw(b"{}"), config_hash="a", trading_hash="b", venue="local",
        config_file=str(run_dir / "my config.yml"),
    )  # fmt: skip
    (run_dir / TAPE).mkdir(parents=True)
    (run_dir / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    for name in (JOURNAL, "ops.db", "commands.db", "outbox.db", "journal.db-wal", PLACE_FILE):
        (run_dir / name).write_bytes(f"bytes of {name}".encode() * 50)
    (run_dir / "ops.db-wal").write_bytes(b"")
    (run_dir / TAPE_FILE).write_bytes(block_of(market(3, minutes=3)) + b"a torn end")
    for name in LEFT_BEHIND:
        (run_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (run_dir / name).write_bytes(b"of this machine")
    return run_dir


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return run_at(tmp_path / "한글 폴더" / "20250521-run")


def test_every_file_comes_back_to_the_byte_and_the_machine_stays_behind(
    run_dir: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "packed"
    index = pack(run_dir, packed)
    unpack(packed, tmp_path / "elsewhere" / "run")
    found = {
        path.relative_to(tmp_path / "elsewhere" / "run").as_posix(): path.read_bytes()
        for path in (tmp_path / "elsewhere" / "run").rglob("*")
        if path.is_file()
    }
    assert found.keys() == {
        MANIFEST, JOURNAL, "ops.db", "commands.db", "outbox.db", "journal.db-wal", PLACE_FILE, TAPE_FILE
    }  # fmt: skip
    assert all((run_dir / name).read_bytes() == data for name, data in found.items() if name != MANIFEST)
    before, after = read_manifest(run_dir), read_manifest(tmp_path / "elsewhere" / "run")
    assert msgspec.structs.replace(before, config_file="") == after and before.config_file
    everything = lzma.decompress((packed / RECORDS).read_bytes()) + (packed / INDEX).read_bytes()
    assert str(tmp_path).encode() not in everything and b"of this machine" not in everything
    assert index.size == sum(map(len, found.values()))


def test_the_same_run_gives_the_same_pack_and_a_longer_one_takes_its_place(
    run_dir: Path, tmp_path: Path
) -> None:
    pack(run_dir, tmp_path / "first")
    pack(run_dir, tmp_path / "second")
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert all(
        (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
        for name in names
    )
    with (run_dir / TAPE / "tape-00002.fgt").open("wb") as tape:
        tape.write(block_of(market(4, minutes=1)))
    pack(run_dir, tmp_path / "first")
    more = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert set(names) < set(more) and not list(tmp_path.glob("*.new"))
    old = "tape-00001-001.piece"
    assert (tmp_path / "first" / old).read_bytes() == (tmp_path / "second" / old).read_bytes()


def test_a_run_that_somebody_holds_is_not_packed(run_dir: Path, tmp_path: Path) -> None:
    with owned((run_dir / RUN_LOCK,), "supervisor"), pytest.raises(LockHeld):
        pack(run_dir, tmp_path / "packed")
    assert not (tmp_path / "packed").exists() and not list(tmp_path.glob("*.new"))


def test_a_folder_of_something_else_is_never_replaced(run_dir: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "precious.txt").write_text("mine", encoding="utf-8")
    for _ in range(2):
        with pytest.raises(PackError, match="something else"):
            pack(run_dir, other)
        # Nor a pack of another run.
        (other / INDEX).write_bytes(msgspec.json.encode(Pack(1, "another", "0", "", ())))
    with pytest.raises(PackError, match="holds something already"):
        unpack(other, run_dir)
    assert (other / "precious.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("name", [INDEX, RECORDS, "tape-00001-001.piece", "tape-00001-002.piece"])
@pytest.mark.parametrize("how", ["missing", "cut", "changed"])
def test_a_damaged_pack_is_named_and_leaves_nothing(
    run_dir: Path, tmp_path: Path, name: str, how: str
) -> None:
    packed = tmp_path / "packed"
    pack(run_dir, packed)
    path = packed / name
    data = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        middle = len(data) // 2
        path.write_bytes(
            data[:middle] if how == "cut" else data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        )
    with pytest.raises(PackError, match=r"pack|Get the pack again|trust|version"):
        unpack(packed, tmp_path / "again")
    assert not (tmp_path / "again").exists() and not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize("path", ["../evil", "/etc/evil", "tape/../../evil", "C:evil", "a\\b", ".hidden", ""])
def test_a_pack_never_writes_outside_of_the_run(run_dir: Path, tmp_path: Path, path: str) -> None:
    packed = tmp_path / "packed"
    index = pack(run_dir, packed)
    evil = PackedFile(path, 4, hashlib.sha256(b"evil").hexdigest())
    for bad in (
        msgspec.structs.replace(index, files=(*index.files, evil)),
        msgspec.structs.replace(
            index, files=(*index.files, PackedFile("tape/x", 4, evil.sha256, pieces=(path,)))
        ),
    ):
        (packed / INDEX).write_bytes(msgspec.json.encode(bad))
        with pytest.raises(PackDamaged, match="outside|not what was packed"):
            unpack(packed, tmp_path / "again")
    assert not (tmp_path / "evil").exists() and not (tmp_path / "again").exists()


def test_a_pack_of_a_newer_format_says_so(run_dir: Path, tmp_path: Path) -> None:
    index = pack(run_dir, tmp_path / "packed")
    newer = msgspec.structs.replace(index, format=2)
    (tmp_path / "packed" / INDEX).write_bytes(msgspec.json.encode(newer))
    with pytest.raises(PackError, match="newer version"):
        unpack(tmp_path / "packed", tmp_path / "again")


def test_the_market_is_found_where_it_lies_here_and_no_other_market_is_taken(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for place, text in ((here, b"the market"), (there, b"the market"), (there / "x", b"another")):
        place.mkdir()
        (place / "bars.parquet").write_bytes(text)
    run_dir = run_at(here / "run", here / "bars.parquet")
    pack(run_dir, tmp_path / "packed")
    with opened(tmp_path / "packed") as found:
        assert read_manifest(found).market == "bars:bars.parquet"
    unpack(tmp_path / "packed", there / "run", there / "bars.parquet")
    assert read_manifest(there / "run").market == f"bars:{there / 'bars.parquet'}"
    with pytest.raises(PackError, match="another market"):
        unpack(tmp_path / "packed", there / "again", there / "x" / "bars.parquet")
    with pytest.raises(PackError, match="not there"):
        unpack(tmp_path / "packed", there / "again", there / "none.parquet")
    pack(run_at(here / "drawn"), tmp_path / "drawn")
    with pytest.raises(PackError, match="leave --market out"):
        unpack(tmp_path / "drawn", there / "again", there / "bars.parquet")
    assert not (there / "again").exists()


def test_a_folder_that_is_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="Nothing was packed"):
        pack(tmp_path, tmp_path / "packed")
    with pytest.raises(PackError, match="is not a pack"):
        unpack(tmp_path, tmp_path / "run")


def test_a_pack_of_a_run_that_no_folder_can_hold_is_not_opened(run_dir: Path, tmp_path: Path) -> None:
    index = pack(run_dir, tmp_path / "packed")
    for name in ("../../evil", "a/b", "C:\\x", "..", ""):
        bad = msgspec.structs.replace(index, run_id=name)
        (tmp_path / "packed" / INDEX).write_bytes(msgspec.json.encode(bad))
        with pytest.raises(PackDamaged, match="no folder can hold"), opened(tmp_path / "packed"):
            pass


def test_a_folder_beside_the_pack_is_nobodys_to_delete(run_dir: Path, tmp_path: Path) -> None:
    beside = tmp_path / "packed.new"
    beside.mkdir()
    (beside / "mine.txt").write_text("mine", encoding="utf-8")
    pack(run_dir, tmp_path / "packed")
    pack(run_dir, tmp_path / "packed")
    assert (beside / "mine.txt").read_text(encoding="utf-8") == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["packed", "packed.new", "한글 폴더"])


def test_a_market_file_named_like_its_kind_is_found(tmp_path: Path) -> None:
    (tmp_path / "bars").write_bytes(b"the market")
    pack(run_at(tmp_path / "run", tmp_path / "bars"), tmp_path / "packed")
    unpack(tmp_path / "packed", tmp_path / "again", tmp_path / "bars")
    assert read_manifest(tmp_path / "again").market == f"bars:{tmp_path / 'bars'}"
