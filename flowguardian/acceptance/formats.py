"""How figures look in a report: money, times in KST beside UTC, shares, durations.

Rule: rounding happens here and only for eyes; nothing reads a formatted figure back.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from flowguardian.acceptance.judgement import Value

KST = timezone(timedelta(hours=9), "KST")
DASH = "–"
ONE = 100_000_000


def usdt(units: int | None, *, sign: bool = False, digits: int = 2) -> str:
    """Money with thousands separators."""
    if units is None:
        return DASH
    return f"{units / ONE:{'+' if sign else ''},.{digits}f}"


def number(value: float | None, digits: int = 2, *, sign: bool = False) -> str:
    """A figure, or a dash when it was not measured."""
    return DASH if value is None else f"{value:{'+' if sign else ''},.{digits}f}"


def percent(value: float | None, digits: int = 2) -> str:
    """A share that is already in percent."""
    return DASH if value is None else f"{value:.{digits}f} %"


def moment(ns: int) -> datetime | None:
    """A stamp as UTC."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC) if ns > 0 else None


def utc(ns: int) -> str:
    """Date and time in UTC."""
    when = moment(ns)
    return DASH if when is None else f"{when:%Y-%m-%d %H:%M:%S} UTC"


def both(ns: int) -> str:
    """Date and time in KST, UTC beside it."""
    when = moment(ns)
    return (
        DASH
        if when is None
        else f"{when.astimezone(KST):%Y-%m-%d %H:%M:%S} KST ({when:%Y-%m-%d %H:%M:%S} UTC)"
    )


def clock(ns: int) -> str:
    """Time of day in KST and UTC, for tables."""
    when = moment(ns)
    if when is None:
        return DASH
    # Only between the zones may a narrow column break it.
    return f"{when.astimezone(KST):%m-%d\u00a0%H:%M}\u00a0KST / {when:%H:%M}\u00a0UTC"


def duration(seconds: float | None) -> str:
    """Hours, minutes and seconds."""
    if seconds is None:
        return DASH
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {left:02d} s" if minutes else f"{seconds:.1f} s"


def shown(value: Value) -> str:
    """A threshold or an observation."""
    if value is None:
        return DASH
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.8f}".rstrip("0").rstrip(".") if abs(value) < 0.01 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
