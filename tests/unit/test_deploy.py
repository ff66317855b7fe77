"""The files of `compose.yaml` and the board agree with each other and with the tables of the view."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
METRIC = re.compile(r"flowguardian_[a-z0-9_]+")
METRICS = {
    "flowguardian_equity_usdt", "flowguardian_drawdown_ratio", "flowguardian_budget_used_usdt",
    "flowguardian_budget_available_usdt", "flowguardian_open_positions", "flowguardian_entries_total",
    "flowguardian_refusals_total", "flowguardian_budget_caps_total", "flowguardian_incidents_total",
    "flowguardian_restarts_total", "flowguardian_run_seconds", "flowguardian_engine_rss_bytes",
    "flowguardian_loop_lag_p99_seconds",
}  # fmt: skip


def read(name: str):
    text = (ROOT / name).read_text(encoding="utf-8")
    return json.loads(text) if name.endswith(".json") else yaml.safe_load(text)


def board() -> list[dict]:
    found: list[dict] = read("deploy/grafana/boards/flowguardian.json")["panels"]
    return found


def test_every_port_is_bound_to_loopback_and_no_password_is_written_down():
    compose = read("compose.yaml")
    assert set(compose["services"]) == {"postgres", "valkey", "prometheus", "grafana"}
    for name, service in compose["services"].items():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"]), name
        assert re.search(r":v?\d", service["image"]), f"{name}: no version"
        for key, value in service.get("environment", {}).items():
            assert "PASSWORD" not in key or re.match(r"\$\{[A-Z_]+:\?", value), key


def test_what_compose_mounts_is_there():
    for service in read("compose.yaml")["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert not source.startswith("./") or (ROOT / source).exists(), source


def test_the_board_shows_every_metric_and_reads_sources_that_are_provisioned():
    shown = {
        name
        for panel in board()
        for target in panel["targets"]
        for name in METRIC.findall(target.get("expr", ""))
    }
    assert shown == METRICS
    sources = read("deploy/grafana/provisioning/datasources/stores.yaml")["datasources"]
    assert {panel["datasource"]["uid"] for panel in board()} == {source["uid"] for source in sources}


def test_the_queries_of_the_board_name_columns_that_exist():
    from flowguardian.journal.postgres_tables import SCHEMA, TABLES

    queries = [target["rawSql"] for panel in board() for target in panel["targets"] if "rawSql" in target]
    assert queries
    for query in queries:
        columns, table = re.findall(rf"SELECT (.*) FROM {SCHEMA}\.(\w+)", query)[0]
        assert set(columns.split(", ")) <= set(TABLES[table].columns.keys())


def test_the_board_does_not_lay_panels_over_each_other():
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in board())
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
