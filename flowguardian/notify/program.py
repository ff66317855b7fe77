"""The notifier: rows become messages, messages go to channels, and an alarm when the supervisor is gone.

Rule: it reads the run and writes its outbox and its own log, nothing else; whatever fails here is a WARNING
there. It outlives its supervisor on purpose, by at most `linger_seconds`, to tell that it is gone.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from flowguardian.cli.run_rows import RESUMABLE
from flowguardian.execution import events as ev
from flowguardian.journal.chain import ChainError, Record
from flowguardian.journal.follow import Follower, readable
from flowguardian.journal.journal import JOURNAL
from flowguardian.journal.ops_events import decode_ops
from flowguardian.notify.delivery import Delivery
from flowguardian.notify.outbox import FILE_NAME as OUTBOX
from flowguardian.notify.outbox import Limits, Message, Outbox
from flowguardian.notify.plan import Plan, Redactor, channel_names, forget, read_plan
from flowguardian.notify.report import read_report
from flowguardian.notify.telling import NOTIFIER, Teller
from flowguardian.notify.watchdog import Standing, Watchdog
from flowguardian.ops.announcing import announce
from flowguardian.ops.log import configure_logging, get, tell_seq
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE
from flowguardian.ops.platform_lock import FileLock, LockHeld
from flowguardian.ops.platform_process import PARENT_PID
from flowguardian.ops.platform_signals import Wake, on_stop_signal

LOCK = "notify.lock"
TURN_SECONDS = 0.5
LOCK_SECONDS = 30.0
"""How long a predecessor, which may be at its last message, is waited for."""
START_SECONDS = 120.0
"""How long a run without a supervisor is waited for."""
STOP_SECONDS = 5.0
"""How long it goes on sending after it was told to end; what is left is in the outbox."""
BATCHES_PER_TURN = 20
"""Rows read between two looks at the channels and the watchdog: 20,000 at most."""


class Asked:
    """Whether somebody asked this process to end, and by when it must; wakes whatever pauses."""

    def __init__(self) -> None:
        self.wake = Wake()
        self._until: list[float] = []

    def stop(self, name: str) -> None:
        """End after what waits was tried; asked twice, at once."""
        self._until.append(time.monotonic() + (0.0 if self._until else STOP_SECONDS))
        self.wake.set()

    def __bool__(self) -> bool:
        return bool(self._until)

    @property
    def hurried(self) -> bool:
        """Whether there is no time left, not even for what is on its way."""
        return bool(self._until) and time.monotonic() >= self._until[-1]


class Notifier:
    """Follows one run until it is over, told to stop, or nobody is left to follow."""

    def __init__(self, run_dir: Path, plan: Plan, asked: Asked) -> None:
        self._run_dir, self._plan, self._asked = run_dir, plan, asked
        channels = channel_names(plan.urls)
        redact = Redactor(plan.urls)
        limits = Limits(plan.max_waiting, plan.same_incident_seconds, plan.longest_retry_delay_seconds)
        self.outbox = Outbox(run_dir / OUTBOX, list(channels), limits)
        self._journal = Follower(run_dir / JOURNAL, self.outbox.cursor(JOURNAL))
        self._ops = Follower(run_dir / OPS_FILE, 0)
        self._taken = {source: self.outbox.cursor(source) for source in (JOURNAL, OPS_FILE)}
        """The last row of each source whose message is in the outbox."""
        self._teller = Teller(run_dir.name, plan, redact)
        self._watchdog = Watchdog(run_dir, plan.watchdog_seconds)
        self._log = get(NOTIFIER)
        self._delivery = Delivery(self.outbox, channels, plan, redact, asked.wake.set)
        self._last_hash = ""
        self._trouble = ""
        self._alarms: set[str] = set()
        tell_seq(lambda: self._journal.seq)

    @property
    def needed(self) -> bool:
        """Whether somebody comes back to this run: then its plan stays."""
        return bool(self._asked) or self._watchdog.handed_over

    def run(self) -> str:
        """Follow; returns why it ended."""
        began, gone_at = time.monotonic(), 0.0
        while not self._asked:
            standing = self._turn()
            now = time.monotonic()
            if self._watchdog.handed_over:
                return "another supervisor took over, with a notifier of its own"
            if standing is Standing.DONE:
                return self._drained("the run is over")
            if standing is Standing.UNKNOWN and now - began > START_SECONDS:
                return self._drained("no supervisor came")
            gone_at = (gone_at or now) if standing is Standing.GONE else 0.0
            if gone_at and not self.outbox.waiting():
                return "the supervisor is gone, that was told"
            if gone_at and now - gone_at > self._plan.linger_seconds:
                return "the supervisor is gone, that could not be told"
            self._asked.wake.wait(self._delivery.pause(TURN_SECONDS))
        return self._drained("asked to stop", STOP_SECONDS)

    def once(self) -> str:
        """Tell what there is to tell, then end."""
        return self._drained("told what there was")

    def close(self) -> None:
        """Nothing left open."""
        self._delivery.close()
        self.outbox.close()

    # ---- one turn

    def _turn(self) -> Standing:
        standing = Standing.ALIVE
        try:
            self._read()
            standing = self._watch()
            self._delivery.turn()
        except (sqlite3.Error, ChainError, OSError) as error:
            # A full disk, a file that is just being made: read again from what is surely in the outbox.
            self._journal.seq, self._ops.seq = self._taken[JOURNAL], 0
            self._say_once(f"{type(error).__name__}: {error}")
        else:
            self._trouble = ""
        return standing

    def _say_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._log.warning("the run could not be followed", why=trouble)
        self._trouble = trouble

    def _unreadable(self, record: Record, error: Exception) -> None:
        self._log.warning(
            "a row could not be read", row=record.seq, kind=record.kind, why=type(error).__name__
        )

    def _read(self) -> None:
        for _ in range(BATCHES_PER_TURN):
            records = self._journal.read()
            if records:
                self._last_hash = records[-1].hash
                rows = list(readable(records, ev.decode, self._unreadable))
                self._take([self._teller.of_row(*row) for row in rows], JOURNAL, records[-1].seq)
            if len(records) < self._journal.batch:
                break
        for _ in range(BATCHES_PER_TURN):
            if self._read_ops() < self._ops.batch:
                return

    def _read_ops(self) -> int:
        """The watchdog needs all rows, also those that an earlier notifier told about."""
        records = self._ops.read()
        rows = list(readable(records, decode_ops, self._unreadable))
        for _, row in rows:
            self._watchdog.row(row)
        if records and records[-1].seq > self._taken[OPS_FILE]:
            fresh = [row for row in rows if row[0] > self._taken[OPS_FILE]]
            self._take([self._teller.of_ops(*row) for row in fresh], OPS_FILE, records[-1].seq)
        return len(records)

    def _take(self, found: Sequence[Message | None], source: str = "", seq: int = 0) -> None:
        messages = [message for message in found if message is not None]
        if dropped := self.outbox.take(messages, source, seq):
            self._log.warning("too many messages wait, the oldest were dropped", dropped=dropped)
        if source:
            self._taken[source] = seq

    def _watch(self) -> Standing:
        """Look at the supervisor; an alarm is written as soon as it is due."""
        watchdog = self._watchdog
        standing, now_ns = watchdog.look(), time.time_ns()
        if standing is Standing.GONE:
            # Its last word may have come between the reading of the rows and this look.
            self._read_ops()
            standing = watchdog.look()
        process = watchdog.process
        if process is not None and standing is Standing.GONE:
            last_ns = watchdog.last_sign_ns()
            self._alarm(self._teller.gone(process.pid, process.start_time, last_ns, now_ns))
        elif process is not None and standing is Standing.SILENT:
            quiet, last_ns = watchdog.quiet_seconds, watchdog.last_sign_ns()
            self._alarm(self._teller.silent(process.pid, quiet, last_ns, now_ns))
        elif watchdog.finished and watchdog.finished not in RESUMABLE:
            report = read_report(self._run_dir, self._hash())
            if report is not None:
                self._alarm(self._teller.verdict(report, now_ns))
        return standing

    def _alarm(self, message: Message) -> None:
        """What no row says, written once; the outbox knows what an earlier notifier wrote."""
        if message.key not in self._alarms:
            self._take([message])
            self._alarms.add(message.key)

    def _hash(self) -> str:
        """The hash of the journal's last row, also when an earlier notifier read it."""
        if not self._last_hash and self._journal.seq:
            last = Follower(self._run_dir / JOURNAL, self._journal.seq - 1, batch=1).read()
            self._last_hash = last[0].hash if last else ""
        return self._last_hash

    def _drained(self, why: str, seconds: float | None = None) -> str:
        """One more look, then every waiting message as far as the time allows."""
        until = time.monotonic() + (self._plan.drain_seconds if seconds is None else seconds)
        self.outbox.hasten()
        self._turn()
        while self.outbox.waiting() and time.monotonic() < until and not self._asked.hurried:
            self._asked.wake.wait(self._delivery.pause(TURN_SECONDS))
            self._turn()
        return why


def main(arguments: Sequence[str]) -> int:
    """Run one notifier; always 0, because what it could not send is no fault of the run."""
    options = _options(arguments)
    run_dir: Path = options.run_dir
    asked = Asked()
    with on_stop_signal(asked.stop):
        announce("ready")
        plan = read_plan(run_dir)
        if plan is not None and run_dir.is_dir():
            configure_logging(NOTIFIER, run_dir / "logs", run_id=run_dir.name, console_level="CRITICAL")
            _tried(run_dir, plan, asked, once=options.once)
        # A child of the supervisor that ends before it is asked to would be an abnormal end of the run.
        while not asked and not options.once and _has_supervisor():
            asked.wake.wait(TURN_SECONDS)
    return 0


def _tried(run_dir: Path, plan: Plan, asked: Asked, *, once: bool) -> None:
    """Follow the run, and begin again after a while when that could not be done."""
    delay_seconds = TURN_SECONDS
    while True:
        lock = FileLock(run_dir / LOCK)
        try:
            _acquire(lock, asked)
            try:
                return _follow(run_dir, plan, asked, once=once)
            finally:
                lock.release()
        except (LockHeld, sqlite3.Error, OSError) as error:
            get(NOTIFIER).warning("no notifier can work here now", why=f"{type(error).__name__}: {error}")
        if asked or once or not _has_supervisor():
            return None
        asked.wake.wait(delay_seconds)
        delay_seconds = min(2 * delay_seconds, LOCK_SECONDS)


def _follow(run_dir: Path, plan: Plan, asked: Asked, *, once: bool) -> None:
    notifier = Notifier(run_dir, plan, asked)
    try:
        why = notifier.once() if once else notifier.run()
        get(NOTIFIER).info("the notifier ends", why=why, waiting=notifier.outbox.waiting())
        if once or not notifier.needed:
            forget(run_dir)
    finally:
        notifier.close()


def _has_supervisor() -> bool:
    """Whether the process that started this one as its child still lives."""
    parent = os.environ.get(PARENT_PID)
    return parent is not None and os.getppid() == int(parent)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flowguardian.notify")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--once", action="store_true", help="tell what there is to tell, then end")
    return parser.parse_args(list(arguments))


def _acquire(lock: FileLock, asked: Asked) -> None:
    """Wait for the right to write the outbox; raises LockHeld when another notifier keeps it."""
    until = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            lock.acquire()
        except LockHeld:
            if asked or time.monotonic() >= until:
                raise
            asked.wake.wait(0.2)
        else:
            return
