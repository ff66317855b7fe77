"""Frames over a real socket at full speed: whatever arrives is on its way to the tape, once and in order."""

import asyncio
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowguardian.feeds.base import FeedOptions
from flowguardian.feeds.intake import Intake
from flowguardian.feeds.pace import HostPace
from flowguardian.feeds.release import Release
from flowguardian.feeds.sockets import StreamSocket
from flowguardian.market.records import SECOND_NS, Kind
from tests.contract.test_feed_frames import FRAMES, SYMBOLS, frames, fresh_intake, ids_of, trade_ids

__all__ = ["frames"]

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 60.0


@contextmanager
def sending(*asked: object):
    command = [sys.executable, "-m", "tests.frame_server", *map(str, asked)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8") as process:
        try:
            assert process.stdout is not None
            port, many = map(int, process.stdout.readline().split())
            yield port, many
        finally:
            process.kill()


def received(port: int, many: int) -> tuple[Intake, Any, float, float]:
    """Everything of one socket through the feed: intake, rows, frames per second by the clock and by CPU."""
    intake, release = fresh_intake(), Release(SYMBOLS, SECOND_NS, 0)
    release.begin(SECOND_NS)
    blocks: list[Any] = []

    async def work() -> tuple[float, float]:
        room, done = asyncio.Event(), asyncio.Event()
        room.set()

        def take(_name: str, frame: bytes) -> None:
            intake.take(frame, SECOND_NS)
            if intake.pending > 2000:
                blocks.extend(release.live(intake.release(SECOND_NS), SECOND_NS))
            if intake.counts.messages == many:
                done.set()

        socket = StreamSocket(
            "public0", f"ws://127.0.0.1:{port}/", take, FeedOptions(), intake.counts,
            room=room, went_down=lambda _: None, pace=HostPace(),
        )  # fmt: skip
        began, cpu = time.perf_counter(), time.process_time()
        socket.begin()
        await asyncio.wait_for(done.wait(), DEADLINE_SECONDS)
        taken = time.perf_counter() - began, time.process_time() - cpu
        await socket.close()
        return taken

    seconds, cpu_seconds = asyncio.run(work())
    blocks.extend(release.live(intake.release(1 << 62, final=True), SECOND_NS))
    return intake, np.concatenate(blocks), many / seconds, many / cpu_seconds


@pytest.mark.real_data
@pytest.mark.skipif(not FRAMES.exists(), reason=f"{FRAMES} with the recorded frames is absent")
def test_the_recorded_frames_over_a_socket_at_full_speed_lose_no_trade(frames):
    paths = [FRAMES / f"usdm_{symbol.lower()}_20240808.gz" for symbol in SYMBOLS]
    with sending(*paths) as (port, many):
        intake, rows, rate, per_cpu = received(port, many)
    print(f"\n{many} messages over a socket: {rate:,.0f}/s, {per_cpu:,.0f} per CPU second")  # noqa: T201  (the figure is for people)
    for index, ids in enumerate(trade_ids(frames).values()):
        assert ids_of(rows, index) == ids
    counts = intake.counts
    assert (counts.id_gaps, counts.feed_gaps, counts.lost, counts.malformed, counts.reconnects) == (0,) * 5


def test_a_burst_of_thirty_thousand_trades_over_a_socket_loses_none():
    with sending("burst", 30_000) as (port, many):
        intake, rows, rate, _ = received(port, many)
    print(f"\n{many} trades in one go: {rate:,.0f}/s")  # noqa: T201
    assert rows["id"][rows["kind"] == Kind.TRADE].tolist() == list(range(1, 30_001))
    assert intake.counts.lost == intake.counts.id_gaps == intake.counts.overflows == 0
