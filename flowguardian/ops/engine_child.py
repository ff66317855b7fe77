"""What the engine child says on stdout, one JSON object per line, and what its exit codes mean.

Rule: whatever it says is one of these events; anything else is an incident.
"""

from __future__ import annotations

import msgspec

EXIT_FINISHED, EXIT_CONFIG, EXIT_FAULT = 0, 2, 5


class Ready(msgspec.Struct, tag_field="event", tag="ready"):
    """The engine is live and fresh."""

    market_ns: int = 0


class Heartbeat(msgspec.Struct, tag_field="event", tag="heartbeat"):
    """Sent by the loop itself at least each wall second; money in 1e-8 USDT."""

    market_ns: int = 0
    run_ns: int = 0
    equity: int = 0
    budget_used: int = 0
    budget_allocated: int = 0
    entries: int = 0
    budget_caps: int = 0
    budget_blocks: int = 0
    open_positions: int = 0
    next_checkpoint: str = ""
    why: str = ""
    lag_p50_ms: float = 0.0
    lag_p99_ms: float = 0.0


class Checkpoint(msgspec.Struct, tag_field="event", tag="checkpoint"):
    """A checkpoint was taken; `line` is what people read about it."""

    name: str
    market_ns: int = 0
    run_ns: int = 0
    line: str = ""


class Quality(msgspec.Struct, tag_field="event", tag="quality"):
    """What the feed of this lifetime counted so far; the fields are those of a FeedSampled row."""

    lifetime: int
    feed: str
    counts: dict[str, int]
    longest_silence_ns: dict[str, int]
    latency_us: dict[int, int]
    fresh_ns: int
    judged_ns: int
    clock_offset_ns: int
    clock_skew_ns: int
    used_weight: int
    odd_frames: tuple[tuple[str, str], ...]
    halted: tuple[str, ...]


class Finished(msgspec.Struct, tag_field="event", tag="finished"):
    """The engine is done: completed or stopped; it exits with 0 next."""

    reason: str


class Fault(msgspec.Struct, tag_field="event", tag="fault"):
    """The engine cannot go on and exits with 5 next."""

    reason: str


EngineEvent = Ready | Heartbeat | Checkpoint | Quality | Finished | Fault
_DECODER: msgspec.json.Decoder[EngineEvent] = msgspec.json.Decoder(EngineEvent)


def decode_event(line: str) -> EngineEvent:
    """One stdout line; raises msgspec.DecodeError (a ValidationError included) when it is none."""
    return _DECODER.decode(line)
