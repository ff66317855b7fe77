"""Logs are UTF-8 JSON lines of one process; incidents are grouped and bounded; the display never judges."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
import structlog

from flowguardian.journal.chain import ChainError, read_chain
from flowguardian.journal.ops_events import Incident, OpsRow, RunFinished, Severity
from flowguardian.ops.engine_child import Checkpoint, Finished, Heartbeat, decode_event
from flowguardian.ops.incidents import ROWS_PER_KIND, IncidentBook, LogWatch, TracebackFinder, grouped
from flowguardian.ops.log import SEVERITIES, DatedFile, configure_logging, report_uncaught, tell_seq
from flowguardian.ops.ops_journal import OpsJournal, read_ops
from flowguardian.ops.progress import LABELS, Progress, RunView, budget_bar, duration, market_time

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Path]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    for handler in before:
        root.removeHandler(handler)
    configure_logging("engine", tmp_path, run_id="run-1", console_level="CRITICAL")
    yield tmp_path
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in before:
        root.addHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


def lines(directory: Path) -> list[dict[str, object]]:
    (path,) = directory.glob("engine-*.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_records_of_this_program_and_of_libraries_are_json_lines_with_the_run_id(configured: Path) -> None:
    structlog.get_logger("feed").info("비트코인 ₿", symbol="BTCUSDT", odd="\ud800")
    logging.getLogger("some.library").error("lost %s", "socket")
    mine, theirs = lines(configured)
    assert (mine["event"], mine["level"], mine["run_id"], mine["symbol"]) == (
        "비트코인 ₿", "info", "run-1", "BTCUSDT",
    )  # fmt: skip
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("lost socket", "error", "some.library")
    assert datetime.fromisoformat(str(mine["ts"])).utcoffset() is not None


def test_an_exception_keeps_its_traceback(configured: Path) -> None:
    try:
        int("planted")
    except ValueError:
        structlog.get_logger("feed").exception("broke")
    (record,) = lines(configured)
    assert record["level"] == "error" and "ValueError: invalid literal" in str(record["exception"])


def test_a_new_day_is_a_new_file_and_nothing_is_renamed(tmp_path: Path) -> None:
    handler = DatedFile(tmp_path, "engine")
    for day in (1_747_835_400, 1_747_835_400 + 86_400):
        record = logging.LogRecord("a", logging.INFO, "", 0, "text", None, None)
        record.created = day
        handler.emit(record)
    handler.close()
    assert [path.name.split("-")[1] for path in sorted(tmp_path.iterdir())] == ["20250521", "20250522"]


def test_a_large_file_goes_on_in_the_next_and_no_file_is_renamed_or_missed(tmp_path: Path) -> None:
    handler = DatedFile(tmp_path, "engine", max_bytes=300, max_files=4)
    found: list[str] = []
    watch = LogWatch(tmp_path, lambda _severity, _source, what, _sample: found.append(what))
    for number in range(60):
        record = logging.LogRecord("a", logging.WARNING, "", 0, "", None, None)
        record.created = 1_747_835_400
        record.msg = json.dumps({"level": "warning", "event": f"w{number}"})
        handler.emit(record)
        watch.poll()
    handler.close()
    names = [path.name for path in sorted(tmp_path.iterdir())]
    assert len(names) == 4 and all(re.fullmatch(r"engine-20250521-\d+-\d{3}\.jsonl", name) for name in names)
    assert found == [f"w{number}" for number in range(60)]
    assert set(watch.offsets) <= {*names}, "what was removed needs no place"


def test_each_line_carries_the_journal_row_its_process_has_come_to(configured: Path) -> None:
    tell_seq(lambda: 7)
    structlog.get_logger("feed").info("before")
    tell_seq(iter([41, 42]).__next__)
    structlog.get_logger("feed").info("then")
    logging.getLogger("some.library").error("after")
    tell_seq(lambda: 0)
    assert [line["seq"] for line in lines(configured)] == [7, 41, 42]


def test_logging_survives_a_korean_code_page(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from flowguardian.ops.log import *\n"
        "configure_logging('engine', Path(sys.argv[1]), run_id='r'); get('x').warning('₿ 비트코인 🚀')\n"
    )
    environment = {"PYTHONIOENCODING": "cp949", "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT), "PATH": ""}
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        timeout=20,
        env=environment,
        check=True,
    )
    assert "₿ 비트코인 🚀" in ended.stderr.decode("utf-8")
    assert lines(tmp_path)[0]["event"] == "₿ 비트코인 🚀"


def test_every_level_is_in_the_table_of_severities() -> None:
    assert list(SEVERITIES) == ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    assert set(Severity) < set(SEVERITIES)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_exception_nobody_caught_in_a_thread_is_reported_and_the_hooks_come_back() -> None:
    before = threading.excepthook
    told: list[tuple[str, str]] = []
    restore = report_uncaught(lambda where, error: told.append((where, repr(error))))
    thread = threading.Thread(target=lambda: 1 // 0, name="worker")
    thread.start()
    thread.join()
    restore()
    assert [where for where, _ in told] == ["thread worker"] and "ZeroDivisionError" in told[0][1]
    assert threading.excepthook is before


# ---- incidents


def book() -> tuple[IncidentBook, list[Incident]]:
    rows: list[OpsRow] = []
    return IncidentBook(rows.append, lambda: 7), rows  # type: ignore[return-value]


def test_incidents_are_grouped_without_what_varies() -> None:
    assert grouped("order 17 lost at 0x7ffe") == grouped("order 9 lost at 0x12")
    assert len(grouped("x" * 500)) == 120


def test_the_number_of_rows_of_one_kind_is_bounded_and_none_is_uncounted() -> None:
    incidents, rows = book()
    for number in range(12_345):
        incidents.add(Severity.ERROR, "engine", f"order {number} lost", "y" * 900)
    incidents.close()
    assert len(rows) == ROWS_PER_KIND + 3, "100 rows, 1,000, 10,000 and the last count"
    assert "[12345 of this kind in all]" in rows[-1].sample
    assert max(len(row.sample) for row in rows) <= 500
    assert incidents.count[Severity.ERROR] == 12_345


def test_many_kinds_become_one_kind_and_severity_is_kept() -> None:
    incidents, rows = book()
    for number in range(1_000):
        incidents.add(Severity.CRITICAL, "engine", "kind " + "a" * (number % 100) + "b" * (number // 100), "")
    assert len(rows) <= 200 + ROWS_PER_KIND + 1
    assert {row.severity for row in rows} == {Severity.CRITICAL}
    assert rows[-1].what == "further kinds"


def test_a_successor_goes_on_counting() -> None:
    incidents, rows = book()
    for _ in range(99):
        incidents.add(Severity.ERROR, "engine", "lost", "")
    later, more = book()
    later.restore(rows)
    for _ in range(5):
        later.add(Severity.ERROR, "engine", "lost", "")
    assert len(more) == 1 and later.count[Severity.ERROR] == 104


PLAIN = """Traceback (most recent call last):
  File "a.py", line 1, in <module>
    f()
ValueError: bad 17"""
CHAINED = f"""{PLAIN}

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 3, in <module>
KeyError: 'x'"""
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "a.py", line 1, in <module>
  | ExceptionGroup: two (2 sub-exceptions)
  +-+---------------- 1 ----------------
    | ValueError: 1
    +------------------------------------
done"""
NATIVE = """Fatal Python error: Segmentation fault

Current thread 0x00007f (most recent call first):
  File "a.py", line 1 in f"""
UNRAISABLE = """Exception ignored in: <function A.__del__ at 0x7f>
Traceback (most recent call last):
  File "a.py", line 1, in __del__
OSError: closed"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PLAIN, ["traceback: ValueError: bad 17"]),
        (CHAINED, ["traceback: ValueError: bad 17", "traceback: KeyError: 'x'"]),
        (GROUP, ["traceback: done"]),
        (NATIVE, ["traceback: Fatal Python error: Segmentation fault"]),
        (UNRAISABLE, ["traceback: OSError: closed"]),
        ("harmless\nTraceback is a word", []),
        (PLAIN.rsplit("\n", 1)[0], ["traceback: f()"]),
    ],
    ids=["plain", "chained", "group", "native", "unraisable", "none", "cut off"],
)
def test_tracebacks_on_stderr_are_found(text: str, expected: list[str]) -> None:
    found: list[str] = []
    finder = TracebackFinder(lambda what, _sample: found.append(what))
    for line in text.splitlines():
        finder.feed(line)
    finder.flush()
    assert found == expected


def test_the_log_watch_reports_warnings_and_worse_once_and_waits_for_whole_lines(tmp_path: Path) -> None:
    found: list[tuple[Severity, str, str]] = []

    def report(severity: Severity, source: str, what: str, _sample: str) -> None:
        found.append((severity, source, what))

    watch = LogWatch(tmp_path, report)
    path = tmp_path / "engine-20250521-7.jsonl"
    path.write_text('{"level":"info","event":"a"}\n{"level":"error","event":"b"', encoding="utf-8")
    watch.poll()
    assert found == []
    with path.open("a", encoding="utf-8") as file:
        file.write('}\n{"level":"WARNING","event":"c","logger":"py.warnings"}\nnot json\n')
    watch.poll()
    watch.poll()
    assert found == [
        (Severity.ERROR, "engine", "b"),
        (Severity.WARNING, "engine", "py.warnings: c"),
        (Severity.WARNING, "engine", "log line that is not JSON"),
    ]
    later = LogWatch(tmp_path, report)
    later.offsets = dict(watch.offsets)
    later.poll()
    assert len(found) == 3, "a successor goes on where the last one was"


# ---- ops journal


def test_rows_refused_by_the_disk_are_kept_and_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ops = OpsJournal(tmp_path / "ops.db")

    def full(*_args: object, **_settings: object) -> None:
        raise ChainError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(ops._writer, "append", full)
        ops.write(RunFinished(1, "stopped"))
        assert not ops.flush() and "disk full" in ops.refused
    ops.write(RunFinished(2, "completed"))
    ops.close()
    assert read_ops(tmp_path / "ops.db") == [RunFinished(1, "stopped"), RunFinished(2, "completed")]
    assert [record.seq for record in read_chain(tmp_path / "ops.db")] == [1, 2]


def test_a_journal_whose_writer_died_before_its_first_table_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "ops.db").touch()
    assert read_ops(tmp_path / "ops.db") == []
    assert read_ops(tmp_path / "none.db") == []


def test_an_ops_journal_that_is_something_else_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "ops.db").write_bytes(b"this is no database at all, and long enough to say so" * 20)
    with pytest.raises(ChainError, match="ops.db"):
        read_ops(tmp_path / "ops.db")


# ---- protocol and display


def test_an_event_may_carry_fields_this_version_does_not_know() -> None:
    assert decode_event('{"event":"finished","reason":"completed","more":1}') == Finished("completed")
    assert decode_event('{"event":"heartbeat","market_ns":5}') == Heartbeat(market_ns=5)


def view(checkpoint: Checkpoint | None = None) -> RunView:
    beat = Heartbeat(
        market_ns=1_747_835_400 * 10**9, equity=50_000 * 10**8, budget_used=6_250 * 10**8,
        budget_allocated=12_500 * 10**8, entries=42, budget_caps=9, budget_blocks=4, next_checkpoint="H3",
        why="warmup until 13:55",
    )  # fmt: skip
    return RunView("run-1", "running", 77, 3_661 * 10**9, 43_200, 1, 2, 0, beat, checkpoint)


@pytest.mark.parametrize("language", sorted(LABELS))
def test_a_plain_line_answers_everything_and_contains_no_verdict(language: str) -> None:
    stream = io.StringIO()
    with Progress(language=language, stream=stream, plain=True) as progress:
        progress.show(view(Checkpoint("M60", 5, 6, "normal")))
    text = stream.getvalue()
    for part in (
        "1:01:01 / 12:00:00", "2025-05-21 13:50:00 UTC (05-21 22:50:00 KST)", "50,000.00 USDT",
        "██████████░░░░░░░░░░ 6,250 / 12,500 USDT (50%)", "42", "H3", "warmup until 13:55", "Entry SUCCESS",
        "Budget Cap Applied", "Portfolio Budget BLOCK", "no verdict, running", "[M60]",
    ):  # fmt: skip
        assert part in text, part
    assert not [word for word in ("PASS", "FAIL", "INCONCLUSIVE") if word in text]


def test_plain_lines_come_at_their_interval_and_checkpoints_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, now = io.StringIO(), [0.0]
    checkpoint = Checkpoint("M5")
    with Progress(stream=stream, plain=True, line_interval_seconds=30, now=lambda: now[0]) as progress:
        for second in range(61):
            now[0] = float(second)
            progress.show(view(checkpoint))
    text = stream.getvalue().splitlines()
    assert len([line for line in text if line.startswith("[M5]")]) == 1 and len(text) == 4


def test_the_panel_is_drawn_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with Progress(stream=stream) as progress:
        progress.show(view(Checkpoint("M5", line="[odd] markup")))
    assert "run-1" in stream.getvalue() and "[odd] markup" in stream.getvalue()


def test_both_languages_have_the_same_labels() -> None:
    assert LABELS["en"].keys() == LABELS["ko"].keys()


def test_small_numbers_are_shown_sensibly() -> None:
    assert budget_bar(5, 0).startswith("░" * 20) and budget_bar(30, 10).startswith("█" * 20)
    assert market_time(0) == "-" and duration(59.9) == "0:00:59"
