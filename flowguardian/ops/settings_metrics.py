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
    trading_log_mb: int = option(20, "Size at which the trading log goes on in the next file.", "MB", ge=1)
    trading_log_files: int = option(20, "Files of the trading log that are kept.", "files", ge=2, le=1000)
