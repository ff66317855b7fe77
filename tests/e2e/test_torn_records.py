"""Journal and tape cut or damaged on disk: recovered to the undisturbed run, or refused with the place."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flowguardian.acceptance.judge import judge
from flowguardian.acceptance.judgement import Verdict
from flowguardian.journal.journal import JOURNAL, TAPE, read_rows
from flowguardian.market.tape import segment_paths
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.manifest import read_manifest, write_manifest
from flowguardian.ops.verify import verify
from tests.e2e.real_runs import ROOT, decided
from tests.golden.market_run import make_run

MINUTE_NS = 60_000_000_000
HOURS, CUT_AFTER_MINUTES = 2, 60
Disturb = Callable[[Path], None]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    make_run(run_dir, hours=HOURS)
    return run_dir


@pytest.fixture(scope="module")
def half(whole: Path) -> Path:
    """The same run as it lies on the disk when its engine is killed after an hour."""
    run_dir, copy = whole.with_name("going"), whole.with_name("half")
    write_manifest(run_dir, read_manifest(whole))
    process = EngineProcess(run_dir)

    async def begin() -> None:
        await process.prepare()
        taken = 0
        async for items in process.feed.released():
            process._take(items)
            taken += 1
            if taken == CUT_AFTER_MINUTES:
                return

    asyncio.run(begin())
    shutil.copytree(run_dir, copy)
    process.close()
    return copy


def _resume(run_dir: Path) -> subprocess.CompletedProcess[str]:
    """One lifetime of the engine; it ends when its parent closes its stdin, so that stays open."""
    argv = [sys.executable, "-m", "flowguardian.ops.engine_process", str(run_dir)]
    with subprocess.Popen(
        argv,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        out, err = process.stdout.read(), process.stderr.read()
    return subprocess.CompletedProcess(argv, process.returncode, out, err)


def _last_segment(run_dir: Path) -> Path:
    return segment_paths(run_dir / TAPE)[-1]


def _cut(path: Path, keep: Callable[[int], int]) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: keep(len(data))])


def _damage(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)


def cut_the_log_in_mid_record(run_dir: Path) -> None:
    _cut(run_dir / f"{JOURNAL}-wal", lambda size: size * 2 // 3 + 100)


def lose_the_log(run_dir: Path) -> None:
    (run_dir / f"{JOURNAL}-wal").unlink()


def cut_the_last_block(run_dir: Path) -> None:
    _cut(_last_segment(run_dir), lambda size: size - 1000)


RECOVERED: tuple[Disturb, ...] = (cut_the_log_in_mid_record, lose_the_log, cut_the_last_block)


@pytest.mark.parametrize("disturb", RECOVERED, ids=lambda each: each.__name__)
def test_what_a_crash_can_tear_is_decided_again_to_the_undisturbed_run(
    disturb: Disturb, half: Path, whole: Path, tmp_path: Path
) -> None:
    run_dir = shutil.copytree(half, tmp_path / "run")
    disturb(run_dir)
    assert len(decided(run_dir)) < len(decided(whole))
    done = _resume(run_dir)
    assert done.returncode == 0, done.stderr
    assert decided(run_dir) == decided(whole)
    verified = verify(run_dir)
    assert verified.ok, verified.message


def cut_the_tape_in_half(run_dir: Path) -> None:
    _cut(_last_segment(run_dir), lambda size: size // 2 + 100)


def damage_a_block_in_the_middle(run_dir: Path) -> None:
    _damage(_last_segment(run_dir), _last_segment(run_dir).stat().st_size // 2)


def lose_the_tape(run_dir: Path) -> None:
    shutil.rmtree(run_dir / TAPE)


def cut_the_journal_in_half(run_dir: Path) -> None:
    _fold(run_dir)
    _cut(run_dir / JOURNAL, lambda size: size // 2 + 100)


def lose_the_journal(run_dir: Path) -> None:
    for path in run_dir.glob(f"{JOURNAL}*"):
        path.unlink()


def change_a_letter_of_the_journal(run_dir: Path) -> None:
    _fold(run_dir)
    path = run_dir / JOURNAL
    data = path.read_bytes()
    at = data.index(b'"symbol":"ETHUSDT"')
    path.write_bytes(data[:at] + data[at:].replace(b"ETHUSDT", b"SOLUSDT", 1))


def _fold(run_dir: Path) -> None:
    """The write-ahead log into the file, as a graceful end leaves it."""
    import sqlite3

    db = sqlite3.connect(run_dir / JOURNAL)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


REFUSED: dict[Disturb, str] = {
    cut_the_tape_in_half: "ReplayDiverged: row ",
    damage_a_block_in_the_middle: "TapeDamaged: tape-00001.fgt: the block at byte ",
    lose_the_tape: "ReplayDiverged: row ",
    cut_the_journal_in_half: "not usable as a journal",
    lose_the_journal: "JournalLost: ",
    change_a_letter_of_the_journal: "does not match its hash",
}


@pytest.mark.parametrize("disturb", REFUSED, ids=lambda each: each.__name__)
def test_what_no_crash_can_do_is_refused_by_engine_verify_and_judge(
    disturb: Disturb, half: Path, tmp_path: Path
) -> None:
    run_dir = shutil.copytree(half, tmp_path / "run")
    before = len(list(read_rows(run_dir / JOURNAL)))
    disturb(run_dir)
    done = _resume(run_dir)
    assert done.returncode == 2, done.stderr
    last = done.stderr.splitlines()[-1]
    assert REFUSED[disturb] in last
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr
    assert '"event":"ready"' not in done.stdout
    verified = verify(run_dir)
    assert not verified.ok and verified.message
    assert verified.rows <= before
    judgement = judge(run_dir)
    assert judgement.verdict is not Verdict.PASS
    # The judge cannot decide a run again: a tape that is too short is found by verify, the rest by itself.
    assert judgement.problems or judgement.missing or disturb is cut_the_tape_in_half


def test_a_whole_run_with_its_tape_cut_does_not_verify_and_the_row_is_named(
    whole: Path, tmp_path: Path
) -> None:
    run_dir = shutil.copytree(whole, tmp_path / "run")
    assert verify(run_dir).ok
    cut_the_tape_in_half(run_dir)
    verified = verify(run_dir)
    assert not verified.ok
    assert verified.row > 0 and f"row {verified.row} " in verified.message
