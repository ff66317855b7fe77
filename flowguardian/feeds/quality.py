"""Data quality of a feed: what was counted, how late rows were, how long streams were silent.

Rule: counting never grows: ages are one number per stream, latencies a histogram, odd frames a short list.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import msgspec

KEPT_FRAMES = 50
KEPT_BYTES = 2_000
_BINS = 256
_PER_DOUBLING = 8


class Counters(msgspec.Struct):
    """Everything that is counted while frames are read."""

    messages: int = 0
    trades: int = 0
    tops: int = 0
    marks: int = 0
    unused: int = 0  # known frames that nothing here reads: depth, klines, the other trade stream
    replies: int = 0
    duplicates: int = 0  # trades, quotes or marks that had been seen
    out_of_order: int = 0  # trades that came after a later one, whether put back in order or too late for it
    non_market: int = 0  # insurance fund, ADL, zero price: counted, never a price
    implausible: int = 0  # a price ten times off, a crossed quote, a time out of range
    malformed: int = 0
    unknown: int = 0
    foreign: int = 0  # of a symbol nobody asked for
    id_gaps: int = 0
    id_voids: int = 0  # ids that the venue itself does not have
    id_resets: int = 0
    backfilled: int = 0
    backfills: int = 0
    lost: int = 0
    feed_gaps: int = 0
    late: int = 0  # back-filled after the gap had been given up
    overflows: int = 0
    conflated: int = 0  # quotes replaced by a later one of the same interval
    reconnects: int = 0
    rotations: int = 0
    silences: int = 0
    filter_changes: int = 0
    rest_failures: int = 0


class Latencies:
    """A histogram of latencies with eight bins per doubling: quantiles within 9 %, in a fixed size."""

    def __init__(self) -> None:
        self._bins = [0] * _BINS
        self.count = 0

    def note(self, latency_ns: int) -> None:
        self.count += 1
        self._bins[_bin(latency_ns)] += 1

    def by_edge_us(self) -> dict[int, int]:
        """How many latencies each bin that holds some has, by the bin's upper edge in microseconds."""
        return {_edge_ns(number) // 1000: many for number, many in enumerate(self._bins) if many}


def _bin(latency_ns: int) -> int:
    micro = max(0, latency_ns) // 1000
    if micro < _PER_DOUBLING:
        return micro
    shift = micro.bit_length() - 4
    return min(_BINS - 1, shift * _PER_DOUBLING + (micro >> shift))


def _edge_ns(number: int) -> int:
    if number < _PER_DOUBLING:
        return (number + 1) * 1000
    shift = (number - _PER_DOUBLING) // _PER_DOUBLING
    return (number - shift * _PER_DOUBLING + 1 << shift) * 1000


class Freshness:
    """The age of every stream by its last *new* event, never by its socket, and the share of time fresh."""

    def __init__(self, streams: Iterable[str], limit_ns: int, now_ns: int = 0) -> None:
        self.limit_ns = limit_ns
        self._seen: dict[str, int] = dict.fromkeys(streams, 0)
        self.longest_ns: dict[str, int] = dict.fromkeys(self._seen, 0)
        self._began_ns = self._judged_ns = now_ns
        self._fresh_ns = 0
        self.retired: frozenset[str] = frozenset()
        """Streams of symbols that the venue does not trade: silent they say nothing about the feed."""

    def begin(self, now_ns: int) -> None:
        """From here on time counts, and a stream that never delivers has been silent since now."""
        self._began_ns = self._judged_ns = now_ns
        self.longest_ns = dict.fromkeys(self._seen, 0)

    def saw(self, stream: str, at_ns: int) -> None:
        """Something new that happened at a time; what comes late makes a stream no younger than it is."""
        last = self._seen[stream] or self._began_ns
        self.longest_ns[stream] = max(self.longest_ns[stream], at_ns - last)
        self._seen[stream] = max(self._seen[stream], at_ns)

    def missing(self) -> list[str]:
        """Streams that have not delivered at all."""
        return [stream for stream, at in self._seen.items() if not at and stream not in self.retired]

    def heard_since(self, since_ns: int) -> set[str]:
        """Streams with a new event after a moment."""
        return {stream for stream, at in self._seen.items() if at > since_ns}

    def silent(self, now_ns: int) -> list[str]:
        """Streams that are as old as the limit."""
        return [
            stream
            for stream, at in self._seen.items()
            if now_ns - (at or self._began_ns) >= self.limit_ns and stream not in self.retired
        ]

    def fresh(self, now_ns: int) -> set[str]:
        """Streams that are younger than the limit."""
        return set(self._seen) - self.retired - set(self.silent(now_ns))

    def judge(self, now_ns: int) -> list[str]:
        """Count the time since the last call as fresh or not; returns the silent streams."""
        silent = self.silent(now_ns)
        if not silent:
            self._fresh_ns += max(0, now_ns - self._judged_ns)
        for stream in silent:
            self.longest_ns[stream] = max(
                self.longest_ns[stream], now_ns - (self._seen[stream] or self._began_ns)
            )
        self._judged_ns = max(self._judged_ns, now_ns)
        return silent

    def last_ns(self, stream: str) -> int:
        """The last new event of a stream, or where its time began."""
        return self._seen[stream] or self._began_ns

    @property
    def fresh_ns(self) -> int:
        """Judged time in which every stream was fresh."""
        return self._fresh_ns

    @property
    def judged_ns(self) -> int:
        return max(0, self._judged_ns - self._began_ns)


class OddFrames:
    """The last frames that could not be read, cut to a bounded size, with why."""

    def __init__(self) -> None:
        self._kept: deque[tuple[str, str]] = deque(maxlen=KEPT_FRAMES)

    def keep(self, why: str, frame: bytes | str) -> None:
        text = frame[:KEPT_BYTES]
        self._kept.append((why, text.decode("utf-8", "replace") if isinstance(text, bytes) else text))

    def kept(self) -> tuple[tuple[str, str], ...]:
        return tuple(self._kept)


class DataQuality(msgspec.Struct, frozen=True):
    """What the parts of a feed counted so far; times are run clock."""

    counts: Counters
    longest_silence_ns: dict[str, int]
    latency_us: dict[int, int]
    """How many rows came at most so many microseconds late; empty where market time comes in slices."""
    fresh_ns: int
    judged_ns: int
    clock_offset_ns: int
    clock_skew_ns: int
    used_weight: int
    odd_frames: tuple[tuple[str, str], ...]
    halted: tuple[str, ...]

    @property
    def fresh_share(self) -> float:
        """Share of the judged time in which every stream was fresh; 1 before any."""
        return self.fresh_ns / self.judged_ns if self.judged_ns else 1.0
