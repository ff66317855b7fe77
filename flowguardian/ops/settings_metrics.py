"""The settings of the process that looks at a run for machines and for eyes: metrics and the trading log.

Rule: it reads what is recorded; nothing here can change what is traded.
"""

from __future__ import annotations

from flowguardian.ops.settings_types import Block, Number, number, option


class Metrics(Block):
    enabled: bool = option(
        True, "Serve /metrics on the loopback address and write logs/trading-*.log while a run lasts."
    )
    port: int = option(0, "TCP port of /metrics; 0 = any free one, shown by `ready`.", "", ge=0, le=65_535)
    poll_seconds: Number = number("1", "Time between two looks at the journal.", "s", gt=0, le=60)
