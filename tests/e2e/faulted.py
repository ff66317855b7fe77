"""A small market over real sockets with faults in it: the venue as a process, the engine in this one.

Rule: faults are planned while the market still stands, so the same plan does the same to every run; nothing
here decides what is right, except what must be true of every run (`Story.holds`).
"""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
from structlog.testing import capture_logs

from flowguardian.execution import events as ev
from flowguardian.feeds.venues import Venue, local
from flowguardian.journal.journal import TAPE
from flowguardian.journal.ops_events import FeedSampled
from flowguardian.market.records import SECOND_NS, Flag, Kind
from flowguardian.market.tape import load_tape
from flowguardian.ops.assembly import VENUE_FILE
from flowguardian.ops.engine_child import Quality, decode_event
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.loading import load
from flowguardian.ops.manifest import Manifest, write_manifest
from flowguardian.ops.ops_journal import FILE_NAME, OpsJournal, read_ops
from flowguardian.ops.segments import HostClock
from flowguardian.ops.verify import verify
from tests.e2e.real_runs import ROOT, decided, rows

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
SEED = 9
MINUTES = 14
LIVELY = (
    f"universe.symbols=[{','.join(SYMBOLS)}]",
    "portfolio.symbol_cooldown_seconds=0",
    "risk.max_consecutive_losses=100",
    "strategies.scalping.entry_cooldown_seconds=0",
    "strategies.scalping.max_hold_minutes=1",
    "strategies.scalping.params.volume_mult=1.0",
)
"""With these all three symbols are entered after the minutes 5 and 10 of this market, most after 9 to 12."""
ROOMY = ("live.max_notional_usdt=1000000",)
"""So that live trades as paper does."""
MINUTE_NS = 60 * SECOND_NS
START_EQUITY = 50_000 * 10**8
LIMIT_NS, BACK_NS = 15 * SECOND_NS, 30 * SECOND_NS
"""Entries stop within the first after the last event, and may start within the second after it flows."""

RowT = TypeVar("RowT", bound=ev.Row)
Fault = dict[str, Any]


class Story:
    """What one run left behind."""

    def __init__(self, run_dir: Path, reason: str) -> None:
        self.run_dir, self.reason = run_dir, reason
        self.rows: list[ev.Row] = rows(run_dir)
        self.live_ns = next(row.ts_ns + 1 for row in self.rows if isinstance(row, ev.WentLive))
        samples = [row for row in read_ops(run_dir / FILE_NAME) if isinstance(row, FeedSampled)]
        last = {row.lifetime: row for row in samples}
        self.counts: Counter[str] = Counter()
        for row in last.values():
            self.counts.update(row.counts)
        self.samples = samples
        self.tape = load_tape(run_dir / TAPE)

    @property
    def last(self) -> FeedSampled:
        """What the feed counted until the end."""
        return self.samples[-1]

    def of(self, kind: type[RowT]) -> list[RowT]:
        """The rows of a kind."""
        return [row for row in self.rows if isinstance(row, kind)]

    def minute(self, ts_ns: int) -> float:
        """Minutes since the run went live."""
        return (ts_ns - self.live_ns) / MINUTE_NS

    def entries(self, symbol: str = "", first: float = 0.0, last: float = 1e9) -> list[ev.OrderRequested]:
        """Entries of a symbol ("" = all) between two minutes of the run."""
        return [
            row
            for row in self.of(ev.OrderRequested)
            if row.purpose is ev.Purpose.ENTRY
            and symbol in ("", row.symbol)
            and first <= self.minute(row.ts_ns) < last
        ]

    def refused(self, code: ev.Reason) -> list[ev.EntryRefused]:
        """Refusals for one reason."""
        return [row for row in self.of(ev.EntryRefused) if row.code is code]

    def silences(self) -> list[tuple[ev.StreamWentSilent, ev.StreamRecovered | None]]:
        """Every silence with its end, None when it had none."""
        found: list[tuple[ev.StreamWentSilent, ev.StreamRecovered | None]] = []
        for went in self.of(ev.StreamWentSilent):
            ends = (
                row
                for row in self.of(ev.StreamRecovered)
                if (row.symbol, row.stream) == (went.symbol, went.stream) and row.ts_ns > went.ts_ns
            )
            found.append((went, next(ends, None)))
        return found

    def silent(self, stream: str = "") -> set[tuple[str, str]]:
        """Symbol and stream of everything that went silent."""
        return {(row.symbol, row.stream) for row in self.of(ev.StreamWentSilent) if stream in row.stream}

    def lost(self) -> int:
        """Trades that a FeedGap gave up."""
        return sum(row.lost for row in self.of(ev.FeedGap))

    def trade_ids(self, symbol: str) -> list[int]:
        """The ids of a symbol's trades in the order of the tape."""
        trades = self.tape[(self.tape["kind"] == Kind.TRADE)]
        mine: list[int] = trades["id"][trades["symbol"] == SYMBOLS.index(symbol)].tolist()
        return mine

    def backfilled(self) -> int:
        """Trades on the tape that came over REST."""
        trades = self.tape[self.tape["kind"] == Kind.TRADE]
        return int(np.count_nonzero(trades["flags"] & int(Flag.BACKFILLED)))

    def holds(self) -> None:
        """What must be true of every run, whatever was done to its market."""
        assert self.reason == "completed"
        verified = verify(self.run_dir)
        assert verified.ok, verified.message
        assert self.of(ev.InvariantViolated) == []
        points = self.of(ev.CheckpointTaken)
        assert points and all(row.ledger_difference == 0 for row in points)
        for went, back in self.silences():
            if went.stream == "trading":
                assert not self.entries(went.symbol, self.minute(went.ts_ns)), f"{went.symbol} does not trade"
                continue
            assert went.ts_ns - went.since_ns <= LIMIT_NS, f"seen too late: {went}"
            end = self.minute(back.ts_ns) if back else 1e9
            late = self.entries(went.symbol, self.minute(went.since_ns + LIMIT_NS), end)
            assert not late, f"entered on {went}: {late}"
        for symbol in SYMBOLS:
            ids = self.trade_ids(symbol)
            assert ids == sorted(set(ids)), f"{symbol}: a trade twice, or out of order"

    def decided_as(self, twin: Story) -> None:
        """The rows that the market decides are those of the undisturbed run."""
        assert decided(self.run_dir) == decided(twin.run_dir)


class Faulted:
    """A run that stands before its first slice: plan faults, then let it run."""

    def __init__(self, run_dir: Path, venue: Venue) -> None:
        self.run_dir, self.venue = run_dir, venue
        self.refusals: set[int] = set()
        """The codes with which orders are refused by plan."""
        self.logged: list[Any] = []
        """What the last lifetime logged."""

    def inject(self, **fault: Any) -> None:
        """Plan a fault; `minute` is where it begins, `minutes` how long it lasts."""
        if fault["kind"] == "order_refused":
            self.refusals.add(fault["code"])
        if "minute" in fault:
            fault["at_seconds"] = fault.pop("minute") * 60
        if "minutes" in fault:
            fault["for_seconds"] = fault.pop("minutes") * 60
        self.post("/control/faults", json.dumps({"seed": SEED, "faults": [fault]}).encode())

    def post(self, path: str, body: bytes = b"") -> Any:
        """Say something to the venue as its operator."""
        request = urllib.request.Request(self.venue.rest + path, data=body, method="POST")  # noqa: S310 - loopback
        with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
            return json.load(answer)

    def ledger(self) -> Any:
        """The account as the venue has it."""
        with urllib.request.urlopen(f"{self.venue.rest}/control/ledger", timeout=20) as answer:  # noqa: S310
            return json.load(answer)

    def requests(self) -> int:
        """How many requests the venue has had in all."""
        with urllib.request.urlopen(f"{self.venue.rest}/control/status", timeout=20) as answer:  # noqa: S310
            found: int = json.load(answer)["requests"]
        return found

    def heal(self) -> None:
        """End every fault."""
        request = urllib.request.Request(f"{self.venue.rest}/control/faults", method="DELETE")  # noqa: S310
        with urllib.request.urlopen(request, timeout=20):  # noqa: S310
            pass

    def run(self) -> Story:
        """One lifetime of the engine in this process, its samples put where a supervisor puts them."""
        said, errors = io.StringIO(), _Errors()
        logging.getLogger().addHandler(errors)
        try:
            with redirect_stdout(said), capture_logs() as logged:
                reason = EngineProcess(self.run_dir).lifetime()
        finally:
            logging.getLogger().removeHandler(errors)
        self.logged = list(logged)
        loud = [line for line in logged if line["log_level"] in ("error", "critical")]
        assert not errors.heard and not loud, (errors.heard, loud)
        journal = OpsJournal(self.run_dir / FILE_NAME)
        for event in map(decode_event, said.getvalue().splitlines()):
            if isinstance(event, Quality):
                journal.write(FeedSampled(HostClock().wall_ns(), **msgspec.structs.asdict(event)))
        journal.close()
        return Story(self.run_dir, reason)


class _Errors(logging.Handler):
    """Records that would be incidents of a run: libraries report dead tasks and the like here."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(self.format(record))


def plan(
    run_dir: Path,
    *overrides: str,
    minutes: float = MINUTES,
    speed: float = 0.0,
    venue: str = "local",
    mode: str = "paper",
    config: Path | None = None,
    start_ns: int | None = None,
) -> None:
    """Write the manifest of a run; one of its own configuration is not made lively."""
    loaded = load(config, [*ROOMY, *overrides] if config else [*ROOMY, *LIVELY, *overrides])
    write_manifest(
        run_dir,
        Manifest(
            run_id=run_dir.name,
            kind="rehearsal",
            market=f"synthetic:{SEED}",
            start_ns=start_ns,
            planned_ns=round(minutes * MINUTE_NS),
            speed=speed,
            seed=SEED,
            config=msgspec.Raw(msgspec.json.encode(loaded.effective)),
            config_hash=loaded.config_hash,
            trading_hash=loaded.trading_hash,
            venue=venue,
            mode=mode,
            start_equity=START_EQUITY if mode == ev.LIVE else 0,
        ),
    )


@contextmanager
def venue_of(run_dir: Path, port: int = 0) -> Iterator[Venue]:
    """The venue process of a run; it must have nothing to say on stderr and must not end by itself."""
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-m", "flowguardian.ops.venue_process", str(run_dir), "--port", str(port)]
        # It lives as long as this end of its stdin.
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, "the venue did not start"
            (run_dir / VENUE_FILE).write_bytes(line)
            yield local(line)
            assert process.poll() is None, f"the venue ended by itself with {process.returncode}"
        finally:
            process.terminate()
            process.wait(timeout=20)
            process.communicate()
        said.seek(0)
        assert not (noise := said.read()), noise
    logs = (path.read_text(encoding="utf-8") for path in (run_dir / "logs").glob("venue*"))
    assert not [line for text in logs for line in text.splitlines() if '"level":"error"' in line]


@contextmanager
def faulted(
    run_dir: Path,
    *overrides: str,
    faults: Sequence[Fault] = (),
    minutes: float = MINUTES,
    speed: float = 0.0,
    mode: str = "paper",
    config: Path | None = None,
    start_ns: int | None = None,
) -> Iterator[Faulted]:
    """A run with its venue, planned faults included."""
    plan(run_dir, *overrides, minutes=minutes, speed=speed, mode=mode, config=config, start_ns=start_ns)
    print(f"market synthetic:{SEED}, faults {list(faults)}")  # noqa: T201 - shown when a test fails
    with venue_of(run_dir) as venue:
        run = Faulted(run_dir, venue)
        for fault in faults:
            run.inject(**fault)
        yield run


def story(run_dir: Path, *overrides: str, faults: Sequence[Fault] = (), minutes: float = MINUTES) -> Story:
    """A whole run with these faults, and what must hold for every run checked."""
    with faulted(run_dir, *overrides, faults=faults, minutes=minutes) as run:
        told = run.run()
    told.holds()
    return told
