"""One run in which every part that only looks on is hurt: it passes "with faults", its rows are its twin's.

Postgres is away for a minute, Valkey stands still, observer, metrics, notifier and dashboard are killed, the
store's disk is full, one channel never answers. The run goes at SPEED, so that a minute of real time fits in.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg
import pytest

from flowguardian.acceptance.judge import Judgement
from flowguardian.acceptance.judgement import Verdict
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.journal.ops_events import (
    FaultAnnounced,
    Incident,
    ProcessExited,
    ProcessStarted,
    RunFinished,
    Severity,
)
from flowguardian.journal.postgres_tables import SCHEMA
from flowguardian.notify.plan import tell_the_rest
from flowguardian.ops.beside import sides_of
from flowguardian.ops.conduct import ENGINE_MODULE, RunPlan, conclude, create_run, supervise
from flowguardian.ops.loading import Loaded, load
from flowguardian.ops.manifest import read_manifest
from flowguardian.ops.registry import STATE_DIRECTORY, Registry
from flowguardian.ops.stores import DIRECTORY, POSTGRES_URL, REDIS_URL, STATE_FILE
from flowguardian.ops.supervisor import RunResult, Supervisor, SupervisorOptions
from tests.e2e.real_runs import ROOT, decided, ops
from tests.e2e.receivers import bad_line, receiver
from tests.views.conftest import ANSWER_SECONDS
from tests.views.figures import held_by, journal_figures, journal_refusals, postgres_figures

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP and SIGKILL are POSIX"),
]
RUN_ID, ENV = "drilled", "drill"
HOURS, SPEED, SEED = 12.0, 360.0, 7
"""Two minutes at least, also where the machine could go faster; lock-step as at any speed but 1."""
NEVER_WAITS = 1e6
"""The speed of the twin. Not 0: the synthetic market of a venue without a clock ends with the run, that of
one with a clock goes on for a day, and its one flash move is drawn over all of it."""
AWAY_SECONDS = 60.0
DEADLINE_SECONDS = 60.0
"""For one step of the drill."""
END_SECONDS = 900.0
"""For the run itself, on a machine that others use, too."""
CONFIG = ROOT / "configs" / "scalping" / "real_paper_12h_v6_1_phase17.yml"
SETTINGS = (
    "market.venue=local", f"market.source=synthetic:{SEED}", f"run.seed={SEED}", "run.keep_awake=false",
    f"stores.env={ENV}", "stores.poll_seconds=0.2", "stores.retry_seconds=0.1",
    "stores.retry_longest_seconds=1", "stores.answer_seconds=1", "stores.status_seconds=0.1",
)  # fmt: skip
STORES = ("postgres", "redis")
KILLED = ("observer", "metrics", "notify", "dashboard")


def _load(*more: str) -> Loaded:
    return load(CONFIG, [*SETTINGS, *more], env={})


def _plan(place: Path, loaded: Loaded, speed: float) -> Path:
    market = f"synthetic:{SEED}"
    start_ns = loaded.settings.market.start_ns
    return create_run(RunPlan(loaded, market, start_ns, HOURS, speed, SEED, run_dir=place, venue="local"))


class Drill:
    """The run under way in a thread of its own, and what is done to it from this one.

    The servers were started by this thread and end with it, so a server that comes back must be started here.
    """

    def __init__(self, run_dir: Path, loaded: Loaded) -> None:
        manifest = read_manifest(run_dir)
        self.run_dir, self.log = run_dir, list[str]()
        self._began = time.monotonic()
        options = SupervisorOptions(check_interval_seconds=0.1, keep_awake=False)
        argv = [sys.executable, "-m", ENGINE_MODULE, str(run_dir)]
        self.supervisor = Supervisor(
            run_dir, argv, options, registry=Registry(),
            sides=sides_of(run_dir, manifest, loaded.settings, loaded.settings, "en"),
        )  # fmt: skip
        self._results: list[RunResult] = []
        self._thread = threading.Thread(target=self._supervise, name="supervisor")

    def _supervise(self) -> None:
        self._results.append(self.supervisor.run())

    @contextmanager
    def running(self) -> Iterator[None]:
        """Started with the block, and over at its end, however that is reached."""
        self._thread.start()
        try:
            yield
            self._thread.join(END_SECONDS)
        finally:
            self.supervisor.request_stop("the drill is over")
            self._thread.join(DEADLINE_SECONDS)

    @property
    def result(self) -> RunResult:
        return self._results[0]

    def say(self, what: str) -> None:
        self.log.append(f"{time.monotonic() - self._began:6.1f} s  {what}")

    def during(self, what: str) -> None:
        """Note a step that is done; it must have happened while the engine was at work."""
        assert self._thread.is_alive(), f"the run was over before: {what}\n" + "\n".join(self.log)
        assert not ops(self.run_dir, RunFinished), what
        self.say(what)

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Poll with a deadline, then note it."""
        deadline, pause = time.monotonic() + DEADLINE_SECONDS, threading.Event()
        while not condition():
            shown = "\n".join([*self.log, str(self.views())])
            assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}\n{shown}"
            pause.wait(0.05)
        self.during(what)

    # ---- what is there

    def views(self) -> dict[str, dict[str, Any]]:
        """How the views stand, by the word of the newest observer; what a dead one left does not count."""
        with suppress(OSError):
            found = msgspec.json.decode((self.run_dir / DIRECTORY / STATE_FILE).read_bytes())
            if found["pid"] == self.lives("observer")[-1].pid:
                return {view["view"]: view for view in found["views"]}
        return {}

    def view(self, name: str) -> dict[str, Any]:
        return self.views().get(name, {"state": "", "seq": 0, "why": ""})

    def rows(self) -> int:
        """The number of the journal's last row."""
        return sum(1 for _ in read_rows(self.run_dir / JOURNAL, check=False))

    def lives(self, name: str) -> list[ProcessStarted]:
        return [row for row in ops(self.run_dir, ProcessStarted) if row.name == name]

    def kill(self, name: str) -> None:
        """Announced, then killed; back within the deadline."""
        lives = self.lives(name)
        self.supervisor.announce("kill -9", name)
        os.kill(lives[-1].pid, signal.SIGKILL)
        self.until(lambda: len(self.lives(name)) > len(lives), f"{name} was killed and is back")


class Drilled(NamedTuple):
    drill: Drill
    judgement: Judgement
    titles: list[str]
    away_seconds: float


@pytest.fixture(scope="module")
def own_state(tmp_path_factory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("drill")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(STATE_DIRECTORY, str(place / "state"))
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("NO_PROXY", "127.0.0.1")
        yield place


@pytest.fixture(scope="module")
def drilled(postgres, valkey, own_state) -> Drilled:
    with pytest.MonkeyPatch.context() as patch, receiver() as good, bad_line() as hanging:
        patch.setenv(POSTGRES_URL, postgres.address())
        patch.setenv(REDIS_URL, valkey.address())
        loaded = _load(
            "stores.mode=urls", f"notify.urls=['{hanging}','{good.url}']", "notify.send_timeout_seconds=2",
            "notify.drain_seconds=5",
        )  # fmt: skip
        drill = Drill(_plan(own_state / RUN_ID, loaded, SPEED), loaded)
        with drill.running():
            away = _the_drill(drill, postgres, valkey)
        judgement, _ = conclude(drill.run_dir, "en")
        tell_the_rest(drill.run_dir)
    return Drilled(drill, judgement, good.titles(), away)


def _the_drill(drill: Drill, postgres, valkey) -> float:
    """Everything that is done to the run, in order; returns for how long Postgres was away."""
    tell = drill.supervisor.announce
    drill.until(lambda: drill.view("postgres")["seq"] > 50, "rows arrive in Postgres")
    tell("a channel never answers", "channel")
    tell("stop", "postgres")
    _stop(postgres)
    stopped = time.monotonic()
    drill.until(lambda: drill.view("postgres")["state"] == "waiting", "Postgres is stopped, its view waits")
    tell("SIGSTOP", "redis")
    os.kill(valkey.server.pid, signal.SIGSTOP)
    try:
        drill.until(lambda: drill.view("redis")["state"] == "waiting", "Valkey stands still, its view waits")
        rows = drill.rows()
        drill.until(lambda: drill.rows() > rows + 20, "the journal goes on meanwhile")
        for name in KILLED:
            drill.kill(name)
        drill.until(lambda: drill.view("redis")["why"], "the new observer finds Valkey silent")
    finally:
        os.kill(valkey.server.pid, signal.SIGCONT)
    rows = drill.rows()
    drill.until(lambda: drill.view("redis")["seq"] >= rows, "Valkey goes on, its view has caught up")
    threading.Event().wait(max(0.0, AWAY_SECONDS - (time.monotonic() - stopped)))
    # Where it was, with what it held.
    assert postgres.address() == os.environ[POSTGRES_URL]
    away = time.monotonic() - stopped
    rows = drill.rows()
    drill.until(
        lambda: drill.view("postgres")["seq"] >= rows, f"Postgres is back after {away:.1f} s, caught up"
    )
    _disk_full(drill, postgres.address())
    return away


def _stop(postgres) -> None:
    """As its operator would, without waiting for clients; whoever started it only sees that it ended."""
    os.kill(postgres.server.pid, signal.SIGINT)
    deadline, pause = time.monotonic() + DEADLINE_SECONDS, threading.Event()
    while postgres.server.runs:
        assert time.monotonic() < deadline, "Postgres does not end"
        pause.wait(0.05)


def _disk_full(drill: Drill, address: str) -> None:
    drill.supervisor.announce("no space left", "postgres")
    with psycopg.connect(address) as db:
        # What Postgres says when a table cannot grow (SQLSTATE 53100).
        db.execute(
            f"CREATE FUNCTION {SCHEMA}.full_drill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';"
            " END $$"
        )
        db.execute(
            f"CREATE TRIGGER full_drill BEFORE INSERT ON {SCHEMA}.signals FOR EACH ROW"
            f" WHEN (NEW.run_id = '{RUN_ID}') EXECUTE FUNCTION {SCHEMA}.full_drill()"
        )
    try:
        drill.until(lambda: "No space left" in drill.view("postgres")["why"], "the disk of Postgres is full")
        rows = drill.rows()
        drill.until(lambda: drill.rows() > rows + 20, "the journal goes on meanwhile")
    finally:
        with psycopg.connect(address) as db:
            db.execute(f"DROP FUNCTION {SCHEMA}.full_drill() CASCADE")
    rows = drill.rows()
    drill.until(lambda: drill.view("postgres")["seq"] >= rows, "there is room again, its view has caught up")


def test_the_run_passes_with_faults_and_every_end_was_an_announced_one(drilled: Drilled, capsys) -> None:
    drill, judgement, _, away = drilled
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(drill.log) + "\n")
    assert drill.result.reason == "completed"
    shown = [(cause.criterion, cause.why.en) for cause in judgement.causes]
    assert judgement.verdict is Verdict.PASS, shown
    assert judgement.with_faults and "with faults" in judgement.why.en
    assert away >= AWAY_SECONDS
    ended = [row for row in ops(drill.run_dir, ProcessExited) if row.abnormal]
    assert [(row.name, row.code, row.announced) for row in ended] == [(name, -9, True) for name in KILLED]
    faults = Counter(row.target for row in ops(drill.run_dir, FaultAnnounced))
    assert faults == Counter(["postgres", "postgres", "redis", "channel", *KILLED])
    assert (drill.result.restarts, drill.result.exit_codes) == (0, (0,)), "the engine never felt it"


def test_nothing_worse_than_a_warning_was_recorded_and_each_store_said_so_once_per_outage(
    drilled: Drilled,
) -> None:
    incidents = ops(drilled.drill.run_dir, Incident)
    assert {row.severity for row in incidents} == {Severity.WARNING}
    said = Counter(row.what for row in incidents)
    unsent = said.pop("notify: a message could not be sent")
    assert 1 <= unsent <= 3, (
        "once by each notifier: the first, the one after the kill, the one for the verdict"
    )
    postgres, redis = (f"observer: {name}: the store takes no rows, waiting for it" for name in STORES)
    # Stopped, still stopped when the second observer came, full.
    assert said.pop(postgres) == 3
    # The second observer may find Valkey silent and have it back before its patience is over.
    assert said.pop(redis) in (1, 2)
    assert not said


def test_its_rows_are_those_of_the_undisturbed_twin(drilled: Drilled, own_state) -> None:
    loaded = _load("stores.mode=off", "metrics.enabled=false", "dashboard.enabled=false")
    twin = _plan(own_state / "twin", loaded, NEVER_WAITS)
    assert supervise(twin, twins={}).reason == "completed"
    rows = decided(twin)
    assert len(rows) > 1000
    assert decided(drilled.drill.run_dir) == rows


def test_the_views_are_complete_at_the_end(drilled: Drilled, postgres, valkey) -> None:
    run_dir = drilled.drill.run_dir
    assert postgres_figures(postgres.address(), RUN_ID) == journal_figures(run_dir)
    held = held_by(valkey.address(), ENV, RUN_ID, ANSWER_SECONDS)
    last = list(read_rows(run_dir / JOURNAL))[-1][0]
    assert held.cursor["journal"] == f"{last.seq} {last.hash}"
    assert held.status["state"] == "completed"
    assert {code: int(count) for code, count in held.refusals.items()} == journal_refusals(run_dir)
    assert {name: (view["state"], view["behind"]) for name, view in drilled.drill.views().items()} == {
        "postgres": ("ended", 0), "redis": ("ended", 0),
    }  # fmt: skip


def test_the_channel_that_works_got_every_message_once(drilled: Drilled) -> None:
    titles = Counter(title for title in drilled.titles if "possibly repeated" not in title)
    begin = ("Run started", "M5 ", "M60 ", "H12 ", "Run ended (completed)", "PASS (rehearsal)")
    found = {text: sum(count for title, count in titles.items() if title.startswith(text)) for text in begin}
    # The one that was on its way when the notifier was killed may come again, and says so.
    assert set(found.values()) == {1}, drilled.titles
    assert sum("possibly repeated" in title for title in drilled.titles) <= 1
