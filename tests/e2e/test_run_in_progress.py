"""A paced run while it goes on: a second start, no verdict yet, Ctrl-C and resume, operator commands."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from flowguardian.execution import events as ev
from flowguardian.execution.events import Command
from flowguardian.journal.ops_events import Incident, ProcessExited, ProcessStarted, RunFinished
from flowguardian.ops.commands import ask
from flowguardian.ops.platform_signals import GRACEFUL_SIGNAL
from flowguardian.ops.verify import verify
from tests.e2e.real_runs import Ended, decided, ended, ops, rows, run, started, wait_until

VERDICTS = re.compile(r"\b(PASS|FAIL|INCONCLUSIVE)(ED|S|URE)?\b|합격|판정 보류")
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="one process alone cannot be sent a Ctrl-C there")
PACED = ("--venue", "direct", "--speed", "6000")
SMALL = ("--set", "universe.symbols=[BTCUSDT,ETHUSDT,SOLUSDT]")


class Story(NamedTuple):
    """One run: a second start, a Ctrl-C, what lay there then, a resume, a start after the end."""

    run_dir: Path
    supervisor: int
    refused: Ended
    interrupted: Ended
    texts: str
    going: Sequence[tuple[int, str, bytes]]
    resumed: Ended
    again: Ended
    twin: Ended


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def story(state: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("runs")
    run_dir = folder / "paced"
    with started("accept", "--run-dir", run_dir, *PACED, "--lang", "ko", "--json", state=state) as process:
        wait_until(
            lambda: sum(isinstance(row, ev.PositionOpened) for row in rows(run_dir)) >= 5, "fifth entry"
        )
        refused = run("accept", "--run-dir", run_dir, "--json", state=state)
        assert process.poll() is None, "the second start must leave the first alone"
        process.send_signal(signal.SIGINT)
        interrupted = ended(process)
    texts = _everything(run_dir) + interrupted.out + interrupted.err + refused.out + refused.err
    going = decided(run_dir)
    resumed = run("accept", "--run-dir", run_dir, "--json", state=state)
    again = run("accept", "--run-dir", run_dir, "--json", state=state)
    twin = run("accept", "--venue", "direct", "--run-dir", folder / "twin", "--json", state=state)
    return Story(run_dir, process.pid, refused, interrupted, texts, going, resumed, again, twin)


def _everything(run_dir: Path) -> str:
    """All files of a run as text, whatever is in them, but the tape, which holds numbers alone."""
    paths = [path for path in run_dir.rglob("*") if path.is_file() and path.suffix != ".fgt"]
    assert {"journal.db", "ops.db", "supervisor.json"} <= {path.name for path in paths}
    assert any(path.parent.name == "logs" for path in paths)
    return "\n".join(path.read_bytes().decode("utf-8", "replace") for path in paths)


@POSIX
def test_a_second_start_of_a_run_that_goes_on_is_refused_and_names_the_process(story: Story) -> None:
    assert story.refused.code == 2
    assert f"PID {story.supervisor} " in story.refused.err
    assert "Traceback" not in story.refused.err
    assert story.refused.answer["error"]["exit_code"] == 2


@POSIX
def test_ctrl_c_ends_with_130_and_says_how_to_go_on(story: Story) -> None:
    assert story.interrupted.code == 130, story.interrupted.err
    assert story.interrupted.answer["verdict"] is None
    assert str(story.run_dir) in story.interrupted.err.splitlines()[-1]
    assert [row.reason for row in ops(story.run_dir, RunFinished)] == ["interrupted", "completed"]
    assert not [row for row in ops(story.run_dir, ProcessExited) if row.abnormal]


@POSIX
def test_before_the_end_nothing_says_a_verdict(story: Story) -> None:
    found = [story.texts[max(0, m.start() - 60) : m.end() + 20] for m in VERDICTS.finditer(story.texts)]
    assert not found
    assert "no verdict, running" in story.interrupted.err and "판정 없음" in story.interrupted.err
    assert VERDICTS.search(story.resumed.err), "the same search must find the verdict once there is one"


@POSIX
def test_the_resumed_run_is_the_undisturbed_one(story: Story) -> None:
    twin = story.run_dir.with_name("twin")
    assert story.twin.code == story.resumed.code == 0, story.resumed.err
    assert 0 < len(story.going) < len(decided(twin))
    assert decided(twin)[: len(story.going)] == story.going
    assert decided(story.run_dir) == decided(twin)
    assert story.resumed.answer["verdict"] == story.twin.answer["verdict"] == "PASS"
    assert story.resumed.answer["counts"]["segments"] == 2
    assert len([row for row in ops(story.run_dir, ProcessStarted) if row.name == "engine"]) == 2


@POSIX
def test_a_complete_run_that_is_started_again_says_so_and_gives_its_verdict_again(story: Story) -> None:
    assert story.again.code == 0
    assert "this run is complete" in story.again.err
    assert "this run is complete" not in story.resumed.err
    assert story.again.answer == story.resumed.answer


def test_a_run_in_progress_refuses_another_configuration(story: Story, state: Path) -> None:
    end = run("accept", "--run-dir", story.run_dir, "--set", "risk.max_positions=2", "--json", state=state)
    assert end.code == 2
    assert "another configuration" in end.err


# ---- commands


@contextmanager
def commanded(run_dir: Path, state: Path) -> Iterator[None]:
    """A paced run that has a position open when the block begins, and has stopped when it is left."""
    options = ("--run-dir", run_dir, "--venue", "direct", "--speed", "3000", *SMALL)
    with started("accept", *options, state=state) as process:
        wait_until(lambda: _open(run_dir), "open position")
        yield
        assert ended(process).code == 130


def _open(run_dir: Path) -> int:
    found = rows(run_dir)
    return sum(isinstance(r, ev.PositionOpened) - isinstance(r, ev.PositionClosed) for r in found)


def _tell(run_dir: Path, command: Command) -> int:
    """Ask, and wait for the fact; returns how many rows stand up to it."""
    number = ask(run_dir, command, "operator")

    def seq() -> int:
        found = enumerate(rows(run_dir), 1)
        return next((i for i, r in found if isinstance(r, ev.CommandReceived) and r.command_id == number), 0)

    wait_until(seq, f"{command} in the journal")
    return seq()


def _orders(found: Sequence[ev.Row], purpose: ev.Purpose) -> list[ev.OrderRequested]:
    return [row for row in found if isinstance(row, ev.OrderRequested) and row.purpose is purpose]


def test_halt_blocks_entries_and_no_exits_until_resume_and_flatten_closes_everything(
    tmp_path: Path, state: Path
) -> None:
    run_dir = tmp_path / "commanded"
    with commanded(run_dir, state):
        halted = _tell(run_dir, Command.HALT)
        wait_until(lambda: _open(run_dir) == 0, "exit of every position")
        flat = len(rows(run_dir))
        rounds = 0
        closing: list[ev.OrderRequested] = []
        while not closing:
            # On a busy machine the accelerated market may close the position before the command is there.
            rounds += 1
            assert rounds < 10, "no position was open when a flatten arrived"
            resumed = _tell(run_dir, Command.RESUME)
            wait_until(lambda: _open(run_dir), "entry after resume")
            flattened = _tell(run_dir, Command.FLATTEN)
            wait_until(lambda: _open(run_dir) == 0, "closed positions")
            closing = _orders(rows(run_dir)[flattened:], ev.Purpose.EXIT)
        stopped = _tell(run_dir, Command.STOP)
    found = rows(run_dir)
    states = [(row.state.value, row.reason) for row in found if isinstance(row, ev.TradingStateChanged)]
    flats = [("ACTIVE", "resume by operator"), ("HALTED", "flatten by operator")]
    assert states == [("HALTED", "halt by operator"), *(rounds * flats)]
    assert not _orders(found[halted:flat], ev.Purpose.ENTRY)
    assert _orders(found[halted:flat], ev.Purpose.EXIT), "exits go on while halted"
    assert _orders(found[resumed:flattened], ev.Purpose.ENTRY)
    assert not _orders(found[flattened:stopped], ev.Purpose.ENTRY)
    assert isinstance(found[-1], ev.SegmentEnded) and found[-1].reason == "stopped"
    assert [row.reason for row in ops(run_dir, RunFinished)] == ["stopped"]
    assert not ops(run_dir, Incident)
    _goes_on_halted(run_dir, state, len(found))


def _goes_on_halted(run_dir: Path, state: Path, before: int) -> None:
    """The stopped run resumes, remembers that it is halted, trades again when told, and verifies."""
    with started("accept", "--run-dir", run_dir, state=state) as process:
        wait_until(lambda: len(rows(run_dir)) > before + 1, "resume")
        told = _tell(run_dir, Command.RESUME)
        wait_until(lambda: _open(run_dir), "entry after the resume")
        process.send_signal(GRACEFUL_SIGNAL)
        assert ended(process).code == 130
    assert not _orders(rows(run_dir)[before:told], ev.Purpose.ENTRY)
    verified = verify(run_dir)
    assert verified.ok, verified.message
