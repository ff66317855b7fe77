"""One writer per account and run directory: refused, taken over, nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from flowguardian.ops.checks_processes import check_locks
from flowguardian.ops.ownership import RUN_LOCK, account_lock, left_behind, locks_of, owned
from flowguardian.ops.platform_lock import FileLock, LockHeld, Owner, owner_path, read_owner
from flowguardian.ops.platform_process import start_child, start_time_of

DEADLINE_SECONDS = 20.0
ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys
from pathlib import Path
from flowguardian.ops.ownership import owned
with owned([Path(name) for name in sys.argv[1:]], "supervisor of run r1"):
    Path(sys.argv[-1]).with_name("journal").write_bytes(b"what was written")
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, ...]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return locks_of(tmp_path / "runs" / "r1", "paper", tmp_path / "state")


@contextmanager
def holder(locks: tuple[Path, ...]) -> Iterator[subprocess.Popen[bytes]]:
    child = start_child([sys.executable, "-c", HOLDER, *map(str, locks)])
    try:
        assert child.stdout is not None and child.stdout.readline().strip() == b"held"
        yield child
    finally:
        child.kill()
        child.communicate(timeout=DEADLINE_SECONDS)


def test_a_second_start_of_a_run_is_refused_names_the_first_and_loses_nothing(locks) -> None:
    with holder(locks) as first:
        with pytest.raises(LockHeld, match=f"supervisor of run r1 PID {first.pid} .started 20") as refused:
            owned(locks, "second").__enter__()
        assert "flowguardian stop" in str(refused.value)
        assert [owner.pid for path in locks if (owner := read_owner(path))] == [first.pid] * 2
        assert locks[1].with_name("journal").read_bytes() == b"what was written"
        assert first.poll() is None


def test_a_second_run_directory_of_one_account_is_refused_and_leaves_its_own_lock_free(
    locks, tmp_path
) -> None:
    other = locks_of(tmp_path / "runs" / "r2", "paper", tmp_path / "state")
    with holder(locks), pytest.raises(LockHeld, match="paper"):
        owned(other, "second").__enter__()
    assert not other[1].exists()
    with owned(other, "second") as now:
        assert now.locks == other


def test_all_locks_or_none_are_held(locks) -> None:
    with FileLock(locks[1], "somebody"):
        with pytest.raises(LockHeld, match="somebody"):
            owned(locks, "me").__enter__()
        FileLock(locks[0]).acquire()


def test_after_kill_9_the_next_start_takes_over_and_says_from_whom(locks) -> None:
    with holder(locks) as first:
        pass
    with owned(locks, "supervisor of run r1") as now:
        assert len(now.taken_over) == 2
        line = check_locks((), now.taken_over)
        assert line.state == "fixed" and line.said.en.count(f"PID {first.pid}") == 2
        assert f"PID {first.pid}" in now.taken_over[0].en and "ended" in now.taken_over[0].en
        assert f"PID {first.pid}" in now.taken_over[1].ko and "끝난" in now.taken_over[1].ko
        assert read_owner(locks[0]) == Owner(
            os.getpid(), start_time_of(os.getpid()) or 0.0, "supervisor of run r1"
        )
    assert locks[1].with_name("journal").read_bytes() == b"what was written"
    with owned(locks, "again") as clean:
        assert not clean.taken_over


def test_a_pid_that_another_program_has_now_neither_blocks_nor_is_blamed(locks) -> None:
    with FileLock(locks[0]):
        pass
    left = Owner(os.getpid(), 5.0, "supervisor of run r0")
    owner_path(locks[0]).write_bytes(msgspec.json.encode(left))
    assert left.pid_is_reused
    with owned(locks, "me") as now:
        (said,) = now.taken_over
    assert "another program has that PID now" in said.en and "supervisor of run r0" in said.en


def test_a_held_lock_whose_written_owner_is_dead_accuses_nobody(locks) -> None:
    with FileLock(locks[0]):
        owner_path(locks[0]).write_bytes(msgspec.json.encode(Owner(os.getpid(), 5.0)))
        with pytest.raises(LockHeld, match="did not write its name"):
            FileLock(locks[0]).acquire()


def test_an_owner_file_of_an_older_version_is_read(tmp_path) -> None:
    owner_path(tmp_path / "a").write_text('{"pid": 1, "start_time": 5.0}', encoding="utf-8")
    assert read_owner(tmp_path / "a") == Owner(1, 5.0)


def test_accounts_of_similar_names_have_locks_of_their_own(tmp_path) -> None:
    names = {account_lock(name, tmp_path) for name in ("a/b", "a-b", "a b", "A-b", "x" * 300)}
    assert len(names) == 5 and all(len(path.name) < 100 for path in names)


def test_the_doctor_finds_and_removes_only_what_dead_owners_left(locks, tmp_path) -> None:
    run_dir = locks[1].parent
    assert locks[1].name == RUN_LOCK
    with holder(locks):
        assert left_behind([run_dir], tmp_path / "state") == []
    found = left_behind([run_dir], tmp_path / "state")
    assert found == list(locks)
    line = check_locks(found)
    assert line.state == "fixed" and RUN_LOCK in line.said.en
    assert left_behind([run_dir], tmp_path / "state") == []
    assert check_locks(found).state == "ok"
