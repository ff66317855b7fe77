"""The observer: one process beside the engine that keeps the views of a run up to date.

Rule: it reads the journal and writes the stores, and neither the trading nor another view can feel it. On
stdout one JSON line when it is ready and one at each change; the same stands in `stores/views.json`.
"""

from __future__ import annotations

import argparse
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from flowguardian.journal.view_worker import Pace, Standing, Store, ViewWorker
from flowguardian.journal.views import FILES, Identity, Source, Tail, View
from flowguardian.ops.log import configure_logging, get
from flowguardian.ops.manifest import read_manifest
from flowguardian.ops.platform_files import atomic_write
from flowguardian.ops.platform_lock import FileLock, LockHeld
from flowguardian.ops.platform_process import die_with_parent
from flowguardian.ops.platform_signals import Wake, on_stop_signal
from flowguardian.ops.registry import Registry
from flowguardian.ops.settings_stores import Stores
from flowguardian.ops.stores import (
    DIRECTORY,
    OBSERVER,
    POSTGRES_URL,
    REDIS_URL,
    STATE_FILE,
    address_of,
    off_because,
    recorded_stores,
)

LOCK_FILE = "observer.lock"
EXIT_IN_USE = 5
LEAVE_SECONDS = 15.0
"""How long a view may take to let go of a server that it has given up."""


class At:
    """A store at an address of somebody's own server."""

    def __init__(self, name: str, address: str, make: Callable[[str], View]) -> None:
        self.name, self._address, self._make = name, address, make

    def view(self) -> View:
        """A view that is not open yet."""
        return self._make(self._address)

    def place(self) -> str:
        """The address without its login."""
        scheme, _, rest = self._address.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"

    def close(self) -> None:
        """Nothing was started here."""


def open_stores(
    run_dir: Path, stores: Stores, whose: Identity, environment: Mapping[str, str]
) -> tuple[list[Store], list[Standing]]:
    """The stores that are used, and how the others stand."""
    off = off_because(stores, environment)
    makers = {"postgres": _postgres, "redis": _redis}
    used = [maker(run_dir, stores, whose, environment) for name, maker in makers.items() if not off[name]]
    return used, [Standing(name, "off", why=why) for name, why in off.items() if why]


def _postgres(run_dir: Path, stores: Stores, whose: Identity, environment: Mapping[str, str]) -> Store:
    from flowguardian.journal.embedded_postgres import EmbeddedPostgres, postgres_programs
    from flowguardian.journal.postgres import PostgresView

    answer = float(stores.answer_seconds)
    programs = postgres_programs() if stores.mode == "embedded" else None
    if programs is not None:
        place, log = run_dir / DIRECTORY, run_dir / "logs" / "postgres.log"
        return EmbeddedPostgres(programs, place, log, _registered(run_dir), whose, answer)
    address = address_of(stores.postgres_url, POSTGRES_URL, environment)
    return At("postgres", address, lambda found: PostgresView(found, whose, answer))


def _redis(run_dir: Path, stores: Stores, whose: Identity, environment: Mapping[str, str]) -> Store:
    from flowguardian.journal.embedded_valkey import EmbeddedValkey, valkey_program
    from flowguardian.journal.redis_view import RedisView

    answer, ttl, rows = float(stores.answer_seconds), stores.heartbeat_ttl_seconds, stores.stream_rows
    program = valkey_program() if stores.mode == "embedded" else None
    if program is not None:
        place, log = run_dir / DIRECTORY, run_dir / "logs" / "valkey.log"
        adopt = _registered(run_dir)
        return EmbeddedValkey(program, place, log, adopt, whose, answer, ttl_seconds=ttl, stream_rows=rows)
    address = address_of(stores.redis_url, REDIS_URL, environment)
    return At(
        "redis", address, lambda found: RedisView(found, whose, answer, ttl_seconds=ttl, stream_rows=rows)
    )


def _registered(run_dir: Path) -> Callable[[str, int], Callable[[], None]]:
    """Servers are processes of this project: an orphan of a killed run is found by the next preflight."""

    def adopt(name: str, pid: int) -> Callable[[], None]:
        registry = Registry()
        account = str(run_dir.absolute())
        try:
            entry = registry.register(name, run_dir.name, account=account, pid=pid, parent_pid=os.getpid())
        except OSError:
            # It ended at once, and whoever waits for its answer says so; or the registry cannot be written,
            # and the run's folder names the process all the same.
            return lambda: None
        return lambda: registry.unregister(entry)

    return adopt


def pace_of(stores: Stores) -> Pace:
    """The limits of a view's waits."""
    return Pace(
        batch_rows=stores.batch_rows,
        poll_seconds=float(stores.poll_seconds),
        retry_first_seconds=float(stores.retry_seconds),
        retry_longest_seconds=float(stores.retry_longest_seconds),
        answer_seconds=float(stores.answer_seconds),
        beat_seconds=stores.heartbeat_ttl_seconds / 3,
    )


class Observer:
    """Hosts the views of one run until they are complete or somebody asks it to stop."""

    def __init__(
        self,
        run_dir: Path,
        stores: Stores,
        say: Callable[[Mapping[str, object]], None],
        *,
        until_complete: bool = False,
        hold: bool = False,
        rebuild: bool = False,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._run_dir, self._say, self._hold = run_dir, say, hold
        self._status_seconds, self._drain_seconds = float(stores.status_seconds), float(stores.drain_seconds)
        whose = Identity(stores.env, read_manifest(run_dir).run_id)
        used, self._off = open_stores(run_dir, stores, whose, environment)
        self._workers = [
            ViewWorker(
                store, run_dir, pace_of(stores), _report, until_complete=until_complete, rebuild=rebuild
            )
            for store in used
        ]
        self._wake = Wake()
        self._tail = Tail(run_dir / FILES[Source.JOURNAL])
        self._last_seq, self._stops = 0, 0
        self._said: list[Standing] = []

    @property
    def drained(self) -> bool:
        """Whether every view that is used holds every row."""
        return all(worker.drained for worker in self._workers)

    def request_stop(self, why: str = "asked") -> None:
        """Deliver what is there, then end; asked twice, end at once."""
        self._stops += 1
        self._wake.set()

    def run(self) -> list[Standing]:
        """Until the end; returns how the views stand then.

        Raises LockHeld when another observer has this run: two would end each other's servers.
        """
        with FileLock(self._run_dir / DIRECTORY / LOCK_FILE), on_stop_signal(self.request_stop):
            for worker in self._workers:
                worker.thread.start()
            self._say({"event": "ready", "pid": os.getpid(), "views": self._standings()})
            try:
                self._watch()
            finally:
                self._leave()
            return self._tell()

    def _watch(self) -> None:
        deadline: float | None = None
        told = False
        while any(worker.thread.is_alive() for worker in self._workers):
            self._tell()
            for worker in self._workers:
                worker.watch()
            if self._stops and deadline is None:
                deadline = time.monotonic() + self._drain_seconds
                for worker in self._workers:
                    worker.finish()
            if deadline is not None and (self._stops > 1 or time.monotonic() > deadline):
                return
            if self._hold and not told and self._all_current():
                told = True
                self._say({"event": "holding", "views": self._standings()})
            self._wake.wait(0.05 if deadline is not None else self._status_seconds)

    def _all_current(self) -> bool:
        return all(standing.state == "current" for standing in self._standings() if standing.state != "off")

    def _leave(self) -> None:
        for worker in self._workers:
            worker.leave()
        until = time.monotonic() + LEAVE_SECONDS
        for worker in self._workers:
            worker.thread.join(max(0.0, until - time.monotonic()))
        self._tail.close()

    def _standings(self) -> list[Standing]:
        with suppress(sqlite3.Error):
            # Only a figure for people; the next look reads it again.
            last = self._tail.last()
            self._last_seq = last.seq if last is not None else 0
        return [*(worker.standing(self._last_seq) for worker in self._workers), *self._off]

    def _tell(self) -> list[Standing]:
        standings = self._standings()
        if standings != self._said:
            self._said = standings
            self._say({"event": "status", "views": standings})
            place = self._run_dir / DIRECTORY / STATE_FILE
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                atomic_write(place, msgspec.json.encode({"pid": os.getpid(), "views": standings}))
            except OSError as error:
                _report("warning", "the state of the views could not be written", str(error))
        return standings


def _report(level: str, what: str, why: str) -> None:
    log = get(OBSERVER)
    (log.warning if level == "warning" else log.info)(what, why=why)


def _print(line: Mapping[str, object]) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Host the views of a run; returns the exit code."""
    parser = argparse.ArgumentParser(prog="observer", description="Keeps the views of a run up to date.")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument(
        "--until-complete", action="store_true", help="end by itself when the run is complete"
    )
    options = parser.parse_args(arguments)
    die_with_parent()
    run_dir: Path = options.run_dir
    manifest = read_manifest(run_dir)
    configure_logging(OBSERVER, run_dir / "logs", run_id=manifest.run_id)
    # What it warns about it raises, too: a view says it once per outage, the library would at every retry.
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    stores = recorded_stores(bytes(manifest.config))
    try:
        Observer(run_dir, stores, _print, until_complete=options.until_complete).run()
    except LockHeld as error:
        sys.stderr.write(f"{error}\n")
        return EXIT_IN_USE
    return 0


if __name__ == "__main__":
    sys.exit(main())
