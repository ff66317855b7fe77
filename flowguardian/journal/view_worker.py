"""A thread that keeps one view up to date: read a batch, deliver it, wait; on trouble wait longer each time.

Rule: it knows one store, one connection and its own cursor, so nothing that happens to it reaches another.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from flowguardian.execution.events import UnknownRow
from flowguardian.journal.views import FILES, START, Marks, Source, StoreTrouble, Tail, View, is_complete


class Store(Protocol):
    """Where a view lives: an address, or a server that is started on demand."""

    name: str

    def view(self) -> View:
        """A view that is not open yet. Raises StoreTrouble when the server cannot be had."""

    def place(self) -> str:
        """Where it is, for people; never with a password."""

    def close(self) -> None:
        """End a server that was started here."""


class Pace(NamedTuple):
    """Limits of every wait of a view."""

    batch_rows: int
    poll_seconds: float
    retry_first_seconds: float
    retry_longest_seconds: float
    answer_seconds: float
    beat_seconds: float


class Standing(msgspec.Struct, frozen=True):
    """How a view is: state is starting, current, behind, waiting (trouble), ended or off."""

    view: str
    state: str
    seq: int = 0
    ops_seq: int = 0
    behind: int = 0
    since: str = ""
    """Host UTC since when it waits, "" while it does not."""
    why: str = ""
    troubles: int = 0
    place: str = ""


T = TypeVar("T")
Report = Callable[[str, str, str], None]
"""Called with level (info, warning), what happened, and why."""


class ViewWorker:
    """Keeps one view up to date in a thread of its own."""

    def __init__(
        self,
        store: Store,
        run_dir: Path,
        pace: Pace,
        report: Report,
        *,
        until_complete: bool,
        rebuild: bool = False,
    ) -> None:
        self.name = store.name
        self._store, self._run_dir, self._pace, self._report = store, run_dir, pace, report
        self._until_complete, self._rebuild = until_complete, rebuild
        self._wake, self._finish, self._leave = threading.Event(), threading.Event(), threading.Event()
        self._view: View | None = None
        self._marks: Marks = {}
        self._market_ns = 0
        self._since = self._why = ""
        self._troubles = self._in_a_row = 0
        self._opened = self.drained = False
        self._waits_since: float | None = None
        """When the call under way to the store began."""
        self.thread = threading.Thread(target=self._run, name=f"view {self.name}", daemon=True)

    # ---- for the main thread

    def finish(self) -> None:
        """Deliver what is there and end."""
        self._finish.set()
        self._wake.set()

    def leave(self) -> None:
        """End without delivering the rest."""
        self._leave.set()
        self.finish()
        self._abort()

    def watch(self) -> None:
        """Cut a call that has waited too long for its server."""
        since = self._waits_since
        # Twice the limit: the client's own, where it has one, comes first and says more.
        if since is not None and time.monotonic() - since > 2 * self._pace.answer_seconds:
            self._abort()

    def standing(self, last_seq: int) -> Standing:
        """How it is now; `last_seq` is the newest row of the journal."""
        seq = self._mark(Source.JOURNAL)
        behind = max(0, last_seq - seq)
        since, why = self._since, self._why
        began = self._waits_since
        if not why and began is not None and time.monotonic() - began > self._pace.answer_seconds:
            why = "the server does not answer"
        state = "behind" if behind else "current"
        if why:
            state = "waiting"
        elif not self._opened:
            state = "starting"
        elif not self.thread.is_alive():
            state = "ended"
        return Standing(
            self.name, state, seq, self._mark(Source.OPS), behind, since, why, self._troubles,
            self._store.place(),
        )  # fmt: skip

    # ---- in its own thread

    def _run(self) -> None:
        tails = {source: Tail(self._run_dir / name, self._pace.batch_rows) for source, name in FILES.items()}
        try:
            while not self.drained and not self._leave.is_set():
                try:
                    self._serve(tails)
                except (StoreTrouble, sqlite3.Error, OSError, msgspec.DecodeError, UnknownRow) as error:
                    # OSError: the disk of an embedded server is full, or its folder is gone.
                    self._troubled(str(error))
                finally:
                    self._disconnect()
                if self._why:
                    self._pause()
        finally:
            for tail in tails.values():
                tail.close()
            self._store.close()

    def _serve(self, tails: dict[Source, Tail]) -> None:
        """From connecting to the end, or to the first trouble."""
        view = self._connected(tails)
        beat_at = 0.0
        while not self._leave.is_set():
            self._wake.clear()
            ending = self._finish.is_set() or (
                self._until_complete and is_complete(tails[Source.JOURNAL], tails[Source.OPS])
            )
            moved = [self._deliver(view, source, tail) for source, tail in tails.items()]
            if time.monotonic() >= beat_at or any(moved):
                self._call(lambda: view.beat(self._mark(Source.JOURNAL), self._market_ns))
                beat_at = time.monotonic() + self._pace.beat_seconds
            self._well()
            if any(moved):
                continue
            if ending:
                # Decided before the last look at the files: nothing came after it.
                self.drained = True
                return
            self._wake.wait(self._pace.poll_seconds)

    def _connected(self, tails: dict[Source, Tail]) -> View:
        self._waits_since = time.monotonic()
        try:
            view = self._view = self._store.view()
        finally:
            self._waits_since = None
        marks = self._call(view.connect)
        strange = [source for source, mark in marks.items() if not tails[source].holds(mark)]
        if strange:
            self._report(
                "warning", f"{self.name}: holds rows of another journal, built anew", strange[0].value
            )
        if strange or self._rebuild:
            self._call(view.drop)
            self._rebuild = False
            marks = self._call(view.connect)
        self._marks = marks
        return view

    def _deliver(self, view: View, source: Source, tail: Tail) -> bool:
        records = tail.after(self._mark(source))
        if not records:
            return False
        self._call(lambda: view.deliver(source, records))
        last = records[-1]
        self._marks[source] = START._replace(seq=last.seq, hash=last.hash)
        if source is Source.JOURNAL:
            self._market_ns = last.ts_ns
        return True

    def _call(self, call: Callable[[], T]) -> T:
        self._waits_since = time.monotonic()
        try:
            return call()
        finally:
            self._waits_since = None

    def _mark(self, source: Source) -> int:
        return self._marks.get(source, START).seq

    def _troubled(self, why: str) -> None:
        self._in_a_row += 1
        self._troubles += 1
        if not self._since:
            self._since = datetime.now(UTC).isoformat(timespec="seconds")
            # Once per outage: what every retry says is in the standing.
            self._report("warning", f"{self.name}: the store takes no rows, waiting for it", why)
        self._why = why or "no reason given"

    def _well(self) -> None:
        self._opened, self._in_a_row = True, 0
        if self._since:
            said = f"since {self._since}: {self._why}"
            self._report("info", f"{self.name}: the store takes rows again", said)
        self._since = self._why = ""

    def _pause(self) -> None:
        first, longest = self._pace.retry_first_seconds, self._pace.retry_longest_seconds
        # 2**30 is longer than any setting; beyond it the number itself would only grow.
        delay = min(longest, first * 2 ** min(self._in_a_row - 1, 30))
        if self._finish.is_set():
            # The end is near and has a deadline of its own: keep trying.
            self._leave.wait(first)
        else:
            self._finish.wait(delay)

    def _disconnect(self) -> None:
        if self._view is not None:
            self._view.close()
            self._view = None

    def _abort(self) -> None:
        view = self._view
        if view is not None:
            view.abort()
