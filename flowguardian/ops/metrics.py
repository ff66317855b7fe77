"""The metrics of a run: their names, meanings and labels, and the page Prometheus reads.

Rule: the one list of names is here; docs/reference/metrics.md is generated from it. Label values come from
enums only, so that their number can never grow. Money in USDT as a float: it is for plots, not for books.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from flowguardian.execution.events import Reason, TradingState
from flowguardian.journal.ops_events import Severity
from flowguardian.ops.metrics_figures import Figures

Read = Callable[[Figures], float]
ReadByLabel = Callable[[Figures, str], float]


class Metric(NamedTuple):
    """One metric; `values` are all values its label can take, and then `read` is asked for each."""

    name: str
    text: str
    read: Read | ReadByLabel
    label: str = ""
    values: type[StrEnum] | None = None

    @property
    def is_counter(self) -> bool:
        """Counters only grow; their names end in _total, as OpenMetrics wants."""
        return self.name.endswith("_total")


METRICS: tuple[Metric, ...] = (
    Metric("flowguardian_equity_usdt", "Balance and unrealised at the last marks.", lambda f: f.equity),
    Metric("flowguardian_balance_usdt", "Start, realised, fees and funding.", lambda f: f.balance),
    Metric("flowguardian_drawdown_ratio", "How far equity is below its peak.", lambda f: f.drawdown),
    Metric(
        "flowguardian_budget_allocated_usdt", "Budget of all active strategies.", lambda f: f.budget.allocated
    ),
    Metric(
        "flowguardian_budget_used_usdt", "Entry value of positions and reservations.", lambda f: f.budget.used
    ),
    Metric(
        "flowguardian_budget_reserved_usdt", "Part of it held by entry orders.", lambda f: f.budget.reserved
    ),
    Metric(
        "flowguardian_budget_available_usdt", "Budget that entries can still take.",
        lambda f: f.budget.available,
    ),
    Metric("flowguardian_open_positions", "Positions held.", lambda f: f.open_positions),
    Metric("flowguardian_signals_total", "Signals while live.", lambda f: f.signals),
    Metric("flowguardian_entries_total", "Entry orders with at least one fill.", lambda f: f.entries),
    Metric(
        "flowguardian_refusals_total", "Entries refused, by reason code.",
        lambda f, value: f.refusals[value], "reason", Reason,
    ),
    Metric("flowguardian_budget_caps_total", "Entries cut by the budget.", lambda f: f.budget_caps),
    Metric("flowguardian_closed_positions_total", "Positions closed.", lambda f: f.closed),
    Metric("flowguardian_starvations_total", "GuardStarvation rows.", lambda f: f.starvations),
    Metric(
        "flowguardian_trading_state", "1 for the trading state that holds, 0 for the others.",
        lambda f, value: float(f.trading_state == value), "state", TradingState,
    ),
    Metric(
        "flowguardian_incidents_total", "Incident rows, by severity.",
        lambda f, value: f.incidents[value], "severity", Severity,
    ),
    Metric(
        "flowguardian_restarts_total", "Starts of the engine after an abnormal end.", lambda f: f.restarts
    ),
    Metric(
        "flowguardian_run_seconds", "Run time over all segments, up to the last sample.",
        lambda f: f.run_seconds,
    ),
    Metric("flowguardian_engine_rss_bytes", "Memory of the engine process.", lambda f: f.rss_bytes),
    Metric("flowguardian_engine_handles", "Open files or handles of the engine.", lambda f: f.handles),
    Metric(
        "flowguardian_loop_lag_p99_seconds", "99 of 100 turns of the loop took less.", lambda f: f.lag_seconds
    ),
    Metric("flowguardian_journal_bytes", "Size of the journal.", lambda f: f.journal_bytes),
    Metric("flowguardian_tape_bytes", "Size of the tape.", lambda f: f.tape_bytes),
    Metric("flowguardian_journal_seq", "Last row of the journal that is in here.", lambda f: f.seq),
    Metric(
        "flowguardian_market_time_seconds", "Market time of that row, since 1970.", lambda f: f.market_seconds
    ),
    Metric(
        "flowguardian_supervisor_beat_seconds", "Host time of the supervisor's last beat, since 1970.",
        lambda f: f.beat_seconds,
    ),
)  # fmt: skip


class RunCollector(Collector):
    """Hands the figures of one run to prometheus-client."""

    def __init__(self, figures: Callable[[], Figures]) -> None:
        self._figures = figures

    def collect(self) -> Iterable[GaugeMetricFamily | CounterMetricFamily]:
        """One family per metric."""
        figures = self._figures()
        for metric in METRICS:
            kind = CounterMetricFamily if metric.is_counter else GaugeMetricFamily
            family = kind(metric.name, metric.text, labels=[metric.label] if metric.label else None)
            for labels, value in _values(metric, figures).items():
                family.add_metric([labels] if labels else [], value)
            yield family


def _values(metric: Metric, figures: Figures) -> Mapping[str, float]:
    if metric.values is None:
        return {"": float(metric.read(figures))}  # type: ignore[call-arg]
    return {value: float(metric.read(figures, value)) for value in metric.values}  # type: ignore[call-arg]


def registry_of(figures: Callable[[], Figures]) -> CollectorRegistry:
    """A registry that holds one run and nothing of this process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(RunCollector(figures))
    return registry
