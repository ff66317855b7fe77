"""What a person sees during a run: a live panel on a terminal, plain lines elsewhere, always on stderr.

Rule: it shows, it never judges; every text says that there is no verdict yet.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from flowguardian.ops.engine_child import Checkpoint, Heartbeat

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

KST = timezone(timedelta(hours=9), "KST")
UNIT = 100_000_000
SECOND_NS = 1_000_000_000
BAR_CELLS = 20

LABELS: dict[str, dict[str, str]] = {
    "en": {
        "running": "no verdict, running", "run_time": "Run time", "market": "Market time", "equity": "Equity",
        "budget": "Budget", "entries": "Entry SUCCESS", "caps": "Budget Cap Applied",
        "blocks": "Portfolio Budget BLOCK", "positions": "Open positions", "next": "Next checkpoint",
        "why": "Why no trade", "state": "Engine", "restarts": "Restarts", "incidents": "Incidents",
        "trading": "trading, nothing holds entries back", "unknown": "not known yet",
    },
    "ko": {
        "running": "판정 없음, 실행 중 (no verdict, running)", "run_time": "실행 시간", "market": "시장 시간",
        "equity": "자산", "budget": "예산", "entries": "진입 성공 (Entry SUCCESS)",
        "caps": "예산 제한 적용 (Budget Cap Applied)",
        "blocks": "포트폴리오 예산 차단 (Portfolio Budget BLOCK)",
        "positions": "보유 포지션", "next": "다음 체크포인트", "why": "거래가 없는 이유", "state": "엔진",
        "restarts": "재시작", "incidents": "이상 기록", "trading": "거래 중, 진입을 막는 것 없음",
        "unknown": "아직 알 수 없음",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RunView:
    """The state of a supervised run at a moment; `state` is starting, running, restarting or stopping."""

    run_id: str
    state: str
    pid: int
    run_ns: int
    planned_seconds: float
    restarts: int
    warnings: int
    errors: int
    heartbeat: Heartbeat | None
    checkpoint: Checkpoint | None
    """The newest checkpoint; a new object each time one is taken."""


class Progress:
    """Shows RunViews; pass `show` to the supervisor as `on_progress`."""

    def __init__(
        self,
        *,
        language: str = "en",
        stream: TextIO | None = None,
        plain: bool | None = None,
        line_interval_seconds: float = 30.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._labels = LABELS.get(language, LABELS["en"])
        self._stream = stream or sys.stderr
        self._plain = not self._stream.isatty() if plain is None else plain
        self._interval_seconds, self._now = line_interval_seconds, now
        self._last_line: float | None = None
        self._last_checkpoint: Checkpoint | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._plain:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=self._stream)
            # No refresh thread: the supervisor's loop calls `show` once per check interval.
            self._live = Live(console=console, auto_refresh=False, redirect_stdout=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def show(self, view: RunView) -> None:
        """Show a view now (terminal) or when the next line is due; checkpoints are always shown."""
        if view.checkpoint is not None and view.checkpoint is not self._last_checkpoint:
            self._last_checkpoint = view.checkpoint
            self._print(self._checkpoint_line(view.checkpoint))
        if self._live is not None:
            self._live.update(self._table(view), refresh=True)
            return
        now = self._now()
        if self._last_line is None or now - self._last_line >= self._interval_seconds:
            self._last_line = now
            self._print(self.line(view))

    def line(self, view: RunView) -> str:
        """A view as one plain line."""
        return " | ".join(f"{label}: {value}" if label else value for label, value in self._fields(view))

    def _checkpoint_line(self, checkpoint: Checkpoint) -> str:
        said = f": {checkpoint.line}" if checkpoint.line else ""
        return f"[{checkpoint.name}] {market_time(checkpoint.market_ns)}{said} ({self._labels['running']})"

    def _print(self, text: str) -> None:
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self._stream, flush=True)

    def _table(self, view: RunView) -> Table:
        from rich.table import Table
        from rich.text import Text

        title = f"{view.run_id} · {self._labels['running']}"
        table = Table(title=title, show_header=False, title_justify="left")
        for label, value in self._fields(view):
            table.add_row(Text(label), Text(value))
        return table

    def _fields(self, view: RunView) -> list[tuple[str, str]]:
        say, beat = self._labels, view.heartbeat
        planned = f" / {duration(view.planned_seconds)}" if view.planned_seconds else ""
        fields = [
            (say["state"], f"{view.state} (PID {view.pid})" if view.pid else view.state),
            (say["run_time"], duration(view.run_ns / SECOND_NS) + planned),
        ]
        if beat is not None:
            fields += [
                (say["market"], market_time(beat.market_ns)),
                (say["equity"], f"{beat.equity / UNIT:,.2f} USDT"),
                (say["budget"], budget_bar(beat.budget_used, beat.budget_allocated)),
                (say["positions"], str(beat.open_positions)),
                (say["entries"], str(beat.entries)),
                (say["caps"], str(beat.budget_caps)),
                (say["blocks"], str(beat.budget_blocks)),
                (say["next"], beat.next_checkpoint or say["unknown"]),
                (say["why"], beat.why or say["trading"]),
            ]
        fields.append((say["restarts"], str(view.restarts)))
        fields.append((say["incidents"], f"{view.errors} ERROR, {view.warnings} WARNING"))
        return fields if self._live is not None else [*fields, ("", say["running"])]


def budget_bar(used: int, allocated: int) -> str:
    """The budget as a bar with its amounts (1e-8 USDT in, USDT out)."""
    share = min(1.0, used / allocated) if allocated > 0 else 0.0
    full = round(share * BAR_CELLS)
    bar = "█" * full + "░" * (BAR_CELLS - full)
    return f"{bar} {used / UNIT:,.0f} / {allocated / UNIT:,.0f} USDT ({share:.0%})"


def market_time(market_ns: int) -> str:
    """A market time in UTC and KST."""
    if market_ns <= 0:
        return "-"
    moment = datetime.fromtimestamp(market_ns / SECOND_NS, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC ({moment.astimezone(KST):%m-%d %H:%M:%S} KST)"


def duration(seconds: float) -> str:
    """A duration as H:MM:SS."""
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"
