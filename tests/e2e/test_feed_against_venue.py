"""The feed against the local venue in its own process, over real sockets, in lock-step."""

import asyncio
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowguardian.feeds.base import Cursor, FeedOptions, cursor_of
from flowguardian.feeds.binance import BinanceFeed
from flowguardian.feeds.recorded import open_market
from flowguardian.feeds.venues import Venue, local
from flowguardian.market.records import SECOND_NS, Kind
from flowguardian.market.tape import TapeWriter, load_tape, segment_paths
from flowguardian.ops.segments import HostClock
from tests.builders import assert_same_rows
from tests.unit.feed_reference import expected

ROOT = Path(__file__).resolve().parents[2]
SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
START_SECONDS = 1_735_689_600 + 8 * 3600 - 120
START = "2025-01-01T07:58:00Z"
HOURS = 0.1
HISTORY = 20

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("flowguardian.venue.server") is None, reason="the local venue is not built"
    ),
]


@contextmanager
def venue_process(port: int = 0) -> Iterator[tuple[Venue, "subprocess.Popen[bytes]"]]:
    command = [sys.executable, "-m", "flowguardian", "venue", "--market", "synthetic:7", "--start", START]
    command += ["--hours", str(HOURS), "--speed", "max", "--port", str(port), "--symbols", ",".join(SYMBOLS)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert "rest" in json.loads(line), line
            yield local(line), process
        finally:
            process.terminate()


def run(
    tape: Path,
    *,
    venue: Venue,
    cursor: Cursor | None = None,
    stop_after: int = 0,
    dies: bool = False,
    disturb: Callable[[int], None] = lambda _: None,
) -> BinanceFeed:
    """Everything of a lock-step run onto a tape; returns the feed with its counters.

    With `dies` it goes as a killed process does: the sockets end, and nobody says why.
    """

    async def work() -> BinanceFeed:
        options = FeedOptions(history_bars=HISTORY)
        feed = BinanceFeed(venue, SYMBOLS, options, clock=HostClock(), lockstep_token="run")
        writer, taken = TapeWriter(tape), 0
        try:
            await feed.start(cursor or Cursor())
            async for items in feed.released():
                for item in items:
                    assert isinstance(item, np.ndarray), f"a fact in a market without faults: {item}"
                    writer.append(item)
                taken += 1
                disturb(taken)
                if taken == stop_after:
                    break
                await feed.ack()
            if dies and feed._slices is not None:
                ws, feed._slices._control._ws = feed._slices._control._ws, None
                assert ws is not None
                ws.transport.abort()
        finally:
            await feed.close()
            writer.close()
        return feed

    return asyncio.run(work())


def rows_on(tape: Path) -> Any:
    return load_tape(tape)


def bytes_on(tape: Path) -> bytes:
    return b"".join(path.read_bytes() for path in segment_paths(tape))


@pytest.fixture(scope="module")
def direct() -> Any:
    return open_market("synthetic:7", SYMBOLS, START_SECONDS * SECOND_NS, HOURS)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BinanceFeed]:
    tape = tmp_path_factory.mktemp("first") / "tape"
    began = time.perf_counter()
    with venue_process() as (venue, _):
        feed = run(tape, venue=venue)
    slices = round(HOURS * 3600)
    print(f"\n{slices / (time.perf_counter() - began):,.0f} slices/s, start-up included")  # noqa: T201
    return tape, feed


def test_the_tape_over_sockets_is_that_of_the_market_read_directly(first, direct):
    tape, feed = first
    wanted = expected(direct, direct.start_ns, direct.end_ns)
    rows = rows_on(tape)
    rows = rows[rows["venue_ns"] < direct.end_ns]
    assert feed.instruments == direct.instruments and feed.symbols == direct.symbols
    assert (wanted["kind"] == Kind.MARK).sum() == len(SYMBOLS)
    for kind in (Kind.CLOCK, Kind.TRADE, Kind.TOP, Kind.MARK):
        ours, theirs = rows[rows["kind"] == kind], wanted[wanted["kind"] == kind]
        assert len(ours) == len(theirs), kind
        for name in ("symbol", "flags", "venue_ns", "a", "b", "c", "d", "id", "ts_ns"):
            assert np.array_equal(ours[name], theirs[name]), (kind, name)
    assert_same_rows(rows, wanted)


def test_the_history_over_rest_is_that_of_the_market(first, direct):
    _, feed = first
    assert_same_rows(feed.history(), direct.history(direct.start_ns, HISTORY))


def test_the_same_seed_twice_gives_the_same_tape(first, tmp_path):
    with venue_process() as (venue, _):
        run(tmp_path / "tape", venue=venue)
    assert bytes_on(tmp_path / "tape") == bytes_on(first[0])


@pytest.mark.parametrize("dies", [False, True], ids=["stops", "dies"])
def test_a_run_that_ends_and_goes_on_has_the_rows_of_one_that_did_not(first, tmp_path, dies):
    tape = tmp_path / "tape"
    with venue_process() as (venue, _):
        run(tape, stop_after=100, dies=dies, venue=venue)
        cursor = cursor_of([rows_on(tape)], SYMBOLS)
        run(tape, cursor=cursor, venue=venue)
    assert_same_rows(rows_on(tape), rows_on(first[0]))


def test_a_venue_that_is_killed_and_started_again_costs_no_row(first, tmp_path):
    with ExitStack() as stack:
        venue, process = stack.enter_context(venue_process())

        def kill(taken: int) -> None:
            if taken == 120:
                process.kill()
                process.wait()
                stack.enter_context(venue_process(int(venue.rest.rpartition(":")[2])))

        feed = run(tmp_path / "tape", venue=venue, disturb=kill)
    assert_same_rows(rows_on(tmp_path / "tape"), rows_on(first[0]))
    assert feed.stats().counts.reconnects >= 2


def test_nothing_was_lost_late_or_odd(first):
    stats = first[1].stats()
    counts = stats.counts
    assert (counts.feed_gaps, counts.lost, counts.malformed, counts.unknown, counts.reconnects) == (0,) * 5
    assert stats.fresh_share == 1.0 and counts.trades > 1000 and counts.marks > 300
