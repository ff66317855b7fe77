"""Run time: adds up over segments, by a monotonic clock, never over sleep or a reboot."""

from __future__ import annotations

import pytest

from flowguardian.journal.ops_events import (
    ClockStepped,
    HostSampled,
    HostSlept,
    OpsRow,
    SegmentClosed,
    SegmentOpened,
)
from flowguardian.ops.host_watch import HostWatch
from flowguardian.ops.recovery import Beat, read_past
from flowguardian.ops.segments import HostClock, SegmentBook, run_time_ns, segment_spans

S = 1_000_000_000


def opened(segment: int, mono: int, boot: str = "a") -> SegmentOpened:
    return SegmentOpened(mono * S, segment, boot, mono * S, mono * S, 77, "first start")


def closed(segment: int, mono: int, boot: str = "a") -> SegmentClosed:
    return SegmentClosed(mono * S, segment, boot, mono * S, mono * S, "crashed")


def sampled(segment: int, mono: int) -> HostSampled:
    return HostSampled(mono * S, segment, mono * S, mono * S, 1, 1.0, 1, 1, 0.1, 0.2, 1, 1, 1)


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [
        ([], 0),
        ([opened(1, 10)], 0),
        ([opened(1, 10), sampled(1, 70)], 60),
        ([opened(1, 10), sampled(1, 70), closed(1, 75)], 65),
        ([opened(1, 10), closed(1, 40), opened(2, 100), closed(2, 105)], 35),
        ([opened(1, 10), sampled(1, 30), closed(1, 5, boot="b")], 20),
        ([opened(1, 900), closed(1, 960), opened(2, 3, boot="b"), closed(2, 13, boot="b")], 70),
        ([opened(1, 10), closed(1, 40), sampled(1, 99)], 30),
    ],
    ids=[
        "nothing", "opened only", "never closed counts to its last sample", "closed",
        "two add up without the gap",
        "closed after a reboot counts to its last sample", "segments of two boots add up",
        "a sample after the close adds nothing",
    ],
)  # fmt: skip
def test_run_time_is_the_sum_of_segments(rows: list[OpsRow], seconds: int) -> None:
    assert run_time_ns(segment_spans(rows)) == seconds * S


def test_a_book_writes_what_the_journal_sums_up_to() -> None:
    rows: list[OpsRow] = []
    book = SegmentBook(rows.append, lambda: 5, "a", [])
    book.alive(1 * S, 1)
    assert book.run_ns == 0, "nothing counts before the segment is open"
    book.open(10 * S, 100, 77, "first start")
    book.alive(25 * S, 120)
    assert (book.number, book.run_ns) == (1, 15 * S)
    book.close("hung")
    book.close("hung")
    assert (book.number, book.run_ns, len(rows)) == (0, 15 * S, 2)
    later = SegmentBook(rows.append, lambda: 6, "a", segment_spans(rows))
    later.open(50 * S, 130, 78, "resumed")
    later.alive(51 * S, 131)
    later.close("finished")
    spans = segment_spans(rows)
    assert [span.segment for span in spans] == [1, 2]
    assert later.run_ns == run_time_ns(spans) == 16 * S


class TwoClocks:
    """Clocks set by hand."""

    boot_id = "a"

    def __init__(self) -> None:
        self.wall = self.mono = 1_000 * S

    def wall_ns(self) -> int:
        return self.wall

    def mono_ns(self) -> int:
        return self.mono


@pytest.mark.parametrize(
    ("wall", "mono", "expected"),
    [
        (1.0, 1.0, None),
        (29.0, 29.0, None),
        (31.0, 31.0, HostSlept(1_031 * S, 31.0)),
        (300.0, 300.0, HostSlept(1_300 * S, 300.0)),
        (3.5, 1.0, ClockStepped(1_003 * S + S // 2, 2.5)),
        (-3599.0, 1.0, ClockStepped(-2_599 * S, -3600.0)),
        (1.5, 1.0, None),
        (1.0, 40.0, HostSlept(1_001 * S, 40.0)),
    ],
)
def test_sleep_is_a_gap_of_the_monotonic_clock_and_a_step_is_one_of_the_wall_clock(
    wall: float, mono: float, expected: OpsRow | None
) -> None:
    clock = TwoClocks()
    watch = HostWatch(clock, sleep_gap_seconds=30, step_seconds=1)
    clock.wall += round(wall * S)
    clock.mono += round(mono * S)
    assert watch.tick() == expected
    assert watch.tick() is None, "each gap is told once"


def test_the_host_clock_goes_forward() -> None:
    clock = HostClock()
    first = clock.mono_ns()
    assert clock.mono_ns() >= first and clock.wall_ns() > 1_700_000_000 * S and clock.boot_id


def test_the_past_of_a_run_that_never_was_is_a_first_start() -> None:
    past = read_past([])
    assert past.first_start and past.finished == "" and past.next_segment == 1
    assert Beat().segment == 0
