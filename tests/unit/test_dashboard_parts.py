"""The parts of the dashboard: bounded curves and lists, bars from the tape, news without a queue."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest

from flowguardian.cli.funnel import why
from flowguardian.cli.language import Say
from flowguardian.cli.run_rows import read_run
from flowguardian.cli.standing import status
from flowguardian.dashboard import launch
from flowguardian.dashboard.curves import Curve
from flowguardian.dashboard.followed import FollowedRun
from flowguardian.dashboard.live import Live, TooManyPages
from flowguardian.dashboard.tape_bars import TapeBars
from flowguardian.dashboard.texts import own, texts
from flowguardian.dashboard.watch import RunWatch
from flowguardian.execution import events as ev
from flowguardian.journal import ops_events as ops
from flowguardian.journal.chain import ChainWriter
from flowguardian.journal.journal import JOURNAL, TAPE, read_rows
from flowguardian.market.records import ROW, SECOND_NS, Flag, Kind
from flowguardian.market.tape import TapeWriter, load_tape, segment_paths
from flowguardian.ops.loading import load
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE
from flowguardian.ops.registry import Registry
from flowguardian.ops.settings_dashboard import Dashboard
from tests.dashboard_client import HOST_NS, host_samples, incidents, make_ended, write_ops

ONE = 10**8
MINUTE = 60 * SECOND_NS


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("dashboard") / "run"
    make_ended(place, [])
    return place


def watched(run_dir: Path, tmp_path: Path, **limits: int) -> RunWatch:
    watch = RunWatch(run_dir, Dashboard.model_validate(limits), Registry(tmp_path))
    assert watch.look()
    return watch


def section(watch: RunWatch, name: str):
    return json.loads(watch.sections[name])


# ---- curves


def test_a_full_curve_thins_itself_and_keeps_the_end_and_the_deepest_fall():
    curve = Curve(60, largest=(2,))
    for k in range(10_000):
        curve.add((float(k), float(k % 13), 99.0 if k == 4321 else float(k % 7)))
        assert len(curve.points) <= 60
        assert curve.points[-1][:2] == (float(k), float(k % 13))
    assert max(point[2] for point in curve.points) == 99.0
    assert curve.epoch > 5
    assert [point[0] for point in curve.points] == sorted({point[0] for point in curve.points})
    assert curve.points[0][0] < 1000, "the beginning is still there"


def test_samples_of_one_second_are_one_point():
    curve = Curve(60)
    for k in range(5):
        curve.add((7.0, float(k)))
    assert curve.points == [(7.0, 4.0)]


# ---- the tape


def plain_bars(rows, symbol: int) -> list[tuple[float, ...]]:
    bars: list[list[float]] = []
    for row in rows[rows["symbol"] == symbol]:
        if row["kind"] == Kind.HISTORY:
            values = [int(row[key]) / ONE for key in "abcd"]
        elif row["kind"] == Kind.TRADE:
            values = [int(row["a"]) / ONE] * 4
        else:
            continue
        at = int(row["venue_ns"]) // MINUTE * 60
        if not bars or at > bars[-1][0]:
            bars.append([at, *values])
        elif at == bars[-1][0]:
            last = bars[-1]
            last[2], last[3], last[4] = max(last[2], values[1]), min(last[3], values[2]), values[3]
    return [tuple(bar) for bar in bars]


def follower(directory: Path, symbols: tuple[str, ...], **limits: int) -> TapeBars:
    return TapeBars(
        directory, symbols,
        **{"bar_seconds": 60, "most_bars": 5000, "most_bytes": 1 << 20, **limits},
    )  # fmt: skip


def test_bars_are_those_of_the_tape_whatever_is_read_at_a_time(run_dir: Path):
    rows = load_tape(run_dir / TAPE)
    for most_bytes in (5_000, 1 << 20):
        tape = follower(run_dir / TAPE, ("BTCUSDT", "ETHUSDT", "SOLUSDT"), most_bytes=most_bytes)
        while tape.read():
            assert tape.problem == ""
        for number, kept in enumerate(tape.symbols.values()):
            assert list(kept.bars) == plain_bars(rows, number)
        trades = rows[(rows["symbol"] == 0) & (rows["kind"] == Kind.TRADE)]
        assert tape.symbols["BTCUSDT"].records["trade"] == len(trades)
        assert tape.symbols["BTCUSDT"].last_ns["trade"] == trades["ts_ns"][-1]
        assert tape.last_ns == rows["ts_ns"][-1]


def some_rows(first: int, count: int) -> np.ndarray:
    rows = np.zeros(count, ROW)
    for k in range(count):
        at = (first + k) * SECOND_NS
        rows[k] = (Kind.TRADE, Flag.NONE, 0, 0, at + 1, at, (100 + first + k) * ONE, ONE, 0, 0, first + k)
    return rows


def test_a_growing_tape_is_followed_over_its_segments_and_bars_are_capped(tmp_path: Path):
    writer = TapeWriter(tmp_path / "tape", segment_bytes=20_000)
    tape = follower(tmp_path / "tape", ("BTCUSDT",), most_bars=10)
    for k in range(60):
        writer.append(some_rows(1 + 30 * k, 30))
        tape.read()
    assert len(segment_paths(tmp_path / "tape")) > 3
    while tape.read():
        continue
    writer.close()
    assert list(tape.symbols["BTCUSDT"].bars) == plain_bars(load_tape(tmp_path / "tape"), 0)[-10:]


def test_a_torn_end_is_waited_for_and_damage_before_it_is_named(tmp_path: Path):
    directory = tmp_path / "tape"
    writer = TapeWriter(directory, segment_bytes=4_000)
    for k in range(3):
        writer.append(some_rows(1 + 60 * k, 60))
    writer.close()
    first, last = segment_paths(directory)[0], segment_paths(directory)[-1]
    whole = last.read_bytes()
    last.write_bytes(whole[:-100])
    tape = follower(directory, ("BTCUSDT",))
    while tape.read():
        continue
    assert tape.problem == "" and tape.symbols["BTCUSDT"].records["trade"] == 120
    last.write_bytes(whole)
    assert tape.read() and tape.symbols["BTCUSDT"].records["trade"] == 180

    damaged = bytearray(first.read_bytes())
    damaged[500] ^= 1
    first.write_bytes(damaged)
    again = follower(directory, ("BTCUSDT",))
    assert not again.read()
    assert "does not match its checksum" in again.problem


# ---- what is shown


def test_the_sections_are_the_answers_of_status_and_why(run_dir: Path, tmp_path: Path):
    watch = watched(run_dir, tmp_path)
    run = read_run(run_dir)
    answer = status(run, Say("en"), Registry(tmp_path))
    assert section(watch, "run")["status"] == json.loads(msgspec.json.encode(answer))
    assert section(watch, "why")["why"] == json.loads(msgspec.json.encode(why(run, Say("en"))))
    assert answer.verdict == "INCONCLUSIVE"
    said = section(watch, "run")["why_now"]
    assert said["en"] == answer.now.sentence and "끝났습니다" in said["ko"]


def test_the_curve_passes_through_every_checkpoint(run_dir: Path, tmp_path: Path):
    points = {point[0]: point for point in watched(run_dir, tmp_path).curve("equity").points}
    rows = [row for _, row in read_rows(run_dir / JOURNAL)]
    checkpoints = [row for row in rows if isinstance(row, ev.CheckpointTaken)]
    # A point is the last of its second: what was seen or moved just after a checkpoint belongs to it as well.
    later = ev.Signal | ev.OrderFilled | ev.OrderRequested
    moved = {row.ts_ns // SECOND_NS for row in rows if isinstance(row, later)}
    calm = [row for row in checkpoints if row.ts_ns // SECOND_NS not in moved]
    assert len(checkpoints) == 24 and len(calm) > 12
    for row in calm:
        _, equity, fallen, used, available = points[row.ts_ns // SECOND_NS]
        assert fallen == pytest.approx(100 * (row.peak_equity - row.equity) / row.peak_equity)
        assert (equity, used, available) == (
            row.equity / ONE,
            sum(line.used for line in row.budget) / ONE,
            sum(line.available for line in row.budget) / ONE,
        )


def test_lists_hold_the_newest_rows_and_no_more(run_dir: Path, tmp_path: Path):
    rows = [(record.seq, row) for record, row in read_rows(run_dir / JOURNAL)]
    refused = [seq for seq, row in rows if isinstance(row, ev.EntryRefused)]
    asked = [
        seq for seq, row in rows if isinstance(row, ev.OrderRequested) and row.purpose is ev.Purpose.ENTRY
    ]
    assert min(len(refused), len(asked)) > 10
    lists = section(watched(run_dir, tmp_path, rows=10), "lists")
    assert [row["seq"] for row in lists["refusals"]] == refused[-10:]
    assert [row["seq"] for row in lists["entries"]] == asked[-10:]
    assert len(lists["fills"]) == len(lists["closes"]) == 10


def test_equal_incidents_are_one_line_and_a_row_of_a_newer_version_is_passed_over(
    run_dir: Path, tmp_path: Path
):
    watch = watched(run_dir, tmp_path)
    (line,) = section(watch, "events")["incidents"]
    assert (line["what"], line["count"], line["sample"]) == ("clock drifts", 3, "sample 2")
    assert section(watch, "host")["resources"]["rss_mb"] == 229.0
    newer = tmp_path / OPS_FILE
    writer = ChainWriter(newer)
    encoded = [(row.ts_ns, type(row).__name__, ops.encode_ops(row)) for row in incidents(2)]
    writer.append([encoded[0], (1, "FromTheFuture", b'{"ts_ns":1}'), encoded[1]], durable=False)
    writer.close()
    followed = FollowedRun(tmp_path)
    assert len(list(followed.new_ops())) == 2
    assert (followed.newer_kinds, followed.problem) == (1, "")


def test_feed_quality_is_shown_where_it_was_recorded_and_said_to_be_missing_else(
    run_dir: Path, tmp_path: Path
):
    assert section(watched(run_dir, tmp_path), "host")["quality"] is None
    copied = tmp_path / "run"
    copied.mkdir()
    (copied / JOURNAL).write_bytes((run_dir / JOURNAL).read_bytes())
    sampled = ops.FeedSampled(
        HOST_NS, lifetime=2, feed="venue_derived", counts={"trades": 700, "lost": 0},
        longest_silence_ns={"btcusdt@aggTrade": 10**9, "ethusdt@aggTrade": 2 * 10**9, "btcusdt@markPrice": 5},
        latency_us={1000: 50, 2000: 45, 3000: 4, 9_000_000: 1}, fresh_ns=999, judged_ns=1000,
        clock_offset_ns=0, clock_skew_ns=-2_500_000, used_weight=14, odd_frames=(), halted=("XRPUSDT",),
    )  # fmt: skip
    write_ops(copied, [sampled])
    quality = section(watched(copied, tmp_path), "host")["quality"]
    assert quality.pop("at")
    assert quality == {
        "lifetime": 2, "feed": "venue_derived", "fresh_pct": 99.9, "latency_p50_ms": 1.0,
        "latency_p95_ms": 2.0, "latency_p99_ms": 3.0,
        "longest_silence_s": {"aggTrade": 2.0, "markPrice": 5e-9},
        "clock_skew_ms": -2.5, "used_weight": 14, "counts": {"trades": 700, "lost": 0}, "halted": "XRPUSDT",
    }  # fmt: skip


def test_a_row_that_cannot_be_read_is_named_and_those_before_it_are_shown(run_dir: Path, tmp_path: Path):
    records = [record for record, _ in read_rows(run_dir / JOURNAL)][:40]
    writer = ChainWriter(tmp_path / JOURNAL)
    writer.append([(r.ts_ns, r.kind, r.body) for r in records], durable=False)
    writer.append([(records[-1].ts_ns, "FromTheFuture", b"{}")], durable=False)
    writer.close()
    run = section(watched(tmp_path, tmp_path), "run")
    assert "row 41" in run["problem"] and "newer version" in run["problem"]
    assert run["status"]["state"] == "dead"


def test_a_run_that_has_not_begun_is_shown_as_such_and_then_followed(run_dir: Path, tmp_path: Path):
    watch = watched(tmp_path, tmp_path)
    assert section(watch, "run")["status"] is None
    records = [record for record, _ in read_rows(run_dir / JOURNAL)]
    writer = ChainWriter(tmp_path / JOURNAL)
    for part in (records[:50], records[50:]):
        writer.append([(r.ts_ns, r.kind, r.body) for r in part], durable=False)
        assert watch.look()
    writer.close()
    again = watched(run_dir, tmp_path)
    assert section(watch, "lists") == section(again, "lists")
    assert watch.curve("equity") == again.curve("equity")


def test_host_samples_thin_out_and_keep_their_highest_lag(tmp_path: Path, run_dir: Path):
    (tmp_path / JOURNAL).write_bytes((run_dir / JOURNAL).read_bytes())
    write_ops(tmp_path, host_samples(400))
    curve = watched(tmp_path, tmp_path, points=50).curve("resources")
    assert len(curve.points) <= 50
    assert max(point[2] for point in curve.points) == 7.5
    assert curve.points[-1][1] == 599.0


# ---- texts


def test_both_languages_have_the_same_keys_and_places():
    english, korean = own("en"), own("ko")
    assert english.keys() == korean.keys()
    places = re.compile(r"\{\w+\}")
    for key, text in english.items():
        assert sorted(places.findall(text)) == sorted(places.findall(korean[key])), key
    assert texts()["ko"]["reason_warmup"] == "지표 준비 (warmup)"


def test_the_page_asks_for_no_text_that_does_not_exist():
    static = Path(launch.__file__).parent / "static"
    known = texts()["en"].keys()
    page = (static / "index.html").read_text(encoding="utf-8")
    asked = set(re.findall(r'data-(?:t|label)="(\w+)"', page))
    for module in (static / "js").glob("*.js"):
        asked |= set(re.findall(r'\bt\("(\w+)"', module.read_text(encoding="utf-8")))
    assert len(asked) > 60
    assert asked <= known, asked - known


def test_modules_of_the_page_are_short():
    static = Path(launch.__file__).parent / "static"
    for module in (*(static / "js").glob("*.js"), static / "style.css", static / "index.html"):
        assert len(module.read_text(encoding="utf-8").splitlines()) <= 400, module.name


# ---- news


def test_a_slow_page_gets_the_newest_state_and_nothing_piles_up():
    async def story() -> tuple[list[dict[str, int]], int]:
        watch = SimpleNamespace(sections={"a": b"0", "b": b"0"}, settings=Dashboard(), is_behind=False)
        live = Live(watch)  # type: ignore[arg-type]
        page = live.reserve()
        stream = live.stream(page)
        heard = [json.loads((await anext(stream))[6:])]
        for k in range(1, 1000):
            watch.sections = {"a": str(k).encode(), "b": b"0"}
            live._tell()
        heard.append(json.loads((await anext(stream))[6:]))
        live.close()
        left = [event async for event in stream]
        live.release(page)
        return heard, len(left) + live.pages

    heard, left = asyncio.run(story())
    assert heard == [{"a": 0, "b": 0}, {"a": 999}]
    assert left == 0


def test_only_so_many_pages_are_open_at_a_time():
    async def story() -> None:
        watch = SimpleNamespace(sections={}, settings=Dashboard(clients=2), is_behind=False)
        live = Live(watch)  # type: ignore[arg-type]
        first, _ = live.reserve(), live.reserve()
        with pytest.raises(TooManyPages):
            live.reserve()
        live.release(first)
        live.reserve()

    asyncio.run(story())


# ---- starting it


def test_the_command_line_of_the_child_names_the_run_and_the_port(tmp_path: Path):
    settings = load(None, ["dashboard.port=8123"]).settings
    assert launch.dashboard_argv(tmp_path, settings)[1:] == [
        "-m", "flowguardian.dashboard", str(tmp_path), "--port", "8123",
    ]  # fmt: skip
    url = "http://127.0.0.1:8123/?token=x"
    assert launch.address_in(launch.ready_line(url)) == url


def test_limits_are_those_of_the_run_and_the_defaults_without_a_manifest(tmp_path: Path, run_dir: Path):
    assert launch.settings_of(tmp_path) == Dashboard()
    assert launch.settings_of(run_dir).points == 1500


def test_no_browser_is_opened_where_nobody_would_see_it(monkeypatch: pytest.MonkeyPatch):
    opened: list[str] = []

    def opening(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr("webbrowser.open", opening)
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    assert not launch.open_page("http://127.0.0.1:1/")
    monkeypatch.delenv("SSH_CONNECTION")
    monkeypatch.setenv("DISPLAY", ":0")
    assert launch.open_page("http://127.0.0.1:1/")
    assert opened == ["http://127.0.0.1:1/"]
