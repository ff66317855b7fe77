"""`docs/reference/metrics.md`: every metric of /metrics, from the one list that serves them.

Rule: names, meanings and label values come from the source; nothing is written by hand but the introduction.
"""

from __future__ import annotations

from pathlib import Path

from flowguardian.ops.metrics import METRICS, Metric

PAGE = Path("docs/reference/metrics.md")

HEAD = """# Metrics

Generated from `flowguardian/ops/metrics.py` by `python -m development.pages`; do not edit.

While a run lasts, a process of its own serves these figures at `http://127.0.0.1:PORT/metrics`, to this
machine alone, in the OpenMetrics format or the older Prometheus text, whichever the reader asks for. It
follows `journal.db` and `ops.db` in short transactions: a figure equals what `flowguardian status`, `why`
and the report count from the same rows. Switch and port: [`metrics`](settings.md#metrics) in the settings.
It can be started for any run, also a finished one; the first line it prints says where it listens:
`python -m flowguardian.ops.metrics_server RUN_DIR --port 0`.

Money is in USDT as a float, for plots; the books are the integers of the journal. Label values come from
closed lists, so that there are never more series than on this page. One server serves one run: which run it
is belongs into the labels of the scrape configuration.
"""


def page_text() -> str:
    """The whole page."""
    series = sum(len(metric.values) if metric.values else 1 for metric in METRICS)
    rows = ["| metric | kind | what |", "|---|---|---|"]
    rows += [f"| `{_name(metric)}` | {_kind(metric)} | {metric.text} |" for metric in METRICS]
    labels = ["## Labels", "", f"{series} series in all.", "", "| label | values |", "|---|---|"]
    labels += [
        f"| `{metric.label}` of `{metric.name}` | {', '.join(f'`{value}`' for value in metric.values)} |"
        for metric in METRICS
        if metric.values
    ]
    return "\n".join([HEAD, *rows, "", *labels, ""])


def _name(metric: Metric) -> str:
    return f"{metric.name}{{{metric.label}}}" if metric.label else metric.name


def _kind(metric: Metric) -> str:
    return "counter" if metric.is_counter else "gauge"
