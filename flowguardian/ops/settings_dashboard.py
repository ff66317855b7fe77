"""The settings of the dashboard: a process beside the run that only looks, and passes on commands.

Rule: every list, curve and wait of the page has its limit here.
"""

from __future__ import annotations

from flowguardian.ops.settings_types import Block, Number, number, option


class Dashboard(Block):
    enabled: bool = option(
        True,
        "Start the page with a supervised run; one that goes as fast as it will is over too soon for it.",
    )
    port: int = option(0, "Loopback port of the page; 0 = any free one.", ge=0, le=65_535)
    open_browser: bool = option(
        True, "Open the page in a browser, where there is a screen, by `flowguardian dashboard`."
    )
    refresh_seconds: Number = number(
        "0.5", "Real time between two looks at the run while somebody watches.", "s", gt=0, le=60
    )
    idle_refresh_seconds: Number = number(
        "5", "Real time between two looks while nobody watches.", "s", gt=0, le=600
    )
    points: int = option(
        1500, "Points kept of a curve; beyond it neighbours are merged.", "points", ge=50, le=20_000
    )
    bars: int = option(720, "Bars kept of a symbol; beyond it the oldest go.", "bars", ge=50, le=10_000)
    rows: int = option(200, "Rows kept of a list; beyond it the oldest go.", "rows", ge=10, le=2_000)
    tape_mb_per_refresh: int = option(16, "Most of the tape read at one look.", "MB", ge=1, le=1024)
    clients: int = option(8, "Pages open at the same time; one more is refused.", "pages", ge=1, le=100)
