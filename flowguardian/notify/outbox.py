"""`outbox.db`: every message of a run, and per channel whether it waits, was sent, or was given up.

Rule: rows become messages in the same transaction in which the cursor moves past them, so a notifier that
dies at any moment neither loses a message nor writes it twice. One notifier at a time writes it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

FILE_NAME = "outbox.db"
SECOND_NS = 1_000_000_000
KEPT_MESSAGES = 5000
"""Settled messages kept for `notify status`; older ones are removed."""
BUSY_SECONDS = 5.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, kind TEXT NOT NULL, urgent INTEGER NOT NULL,
    ts_ns INTEGER NOT NULL, title TEXT NOT NULL, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS deliveries (
    message INTEGER NOT NULL, channel TEXT NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
    due_ns INTEGER NOT NULL, tried_ns INTEGER NOT NULL, why TEXT NOT NULL, PRIMARY KEY (message, channel));
CREATE INDEX IF NOT EXISTS by_state ON deliveries (state, channel);
CREATE TABLE IF NOT EXISTS cursors (source TEXT PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS groups (name TEXT PRIMARY KEY, told_ns INTEGER NOT NULL, held INTEGER NOT NULL);
"""


class Kind(StrEnum):
    """What a message is about."""

    START = "start"
    CHECKPOINT = "checkpoint"
    STARVATION = "starvation"
    TRADING = "trading"
    INCIDENT = "incident"
    RESTART = "restart"
    SLEEP = "sleep"
    END = "end"
    VERDICT = "verdict"
    GONE = "gone"
    TEST = "test"


class State(StrEnum):
    """How a message stands in one channel."""

    WAITING = "waiting"
    SENDING = "sending"
    SENT = "sent"
    FAILED = "failed"
    DROPPED = "dropped"


class Message(msgspec.Struct, frozen=True):
    """A text for people. `key` is unique in a run; messages of one `group` are told once per window."""

    key: str
    kind: Kind
    ts_ns: int
    title: str
    body: str
    urgent: bool = False
    group: str = ""


class Due(NamedTuple):
    """A delivery to try now; `repeated` when an earlier notifier died while it was being sent."""

    message: int
    channel: str
    attempts: int
    urgent: bool
    title: str
    body: str
    repeated: bool


class Limits(NamedTuple):
    """Bounds of the outbox."""

    max_waiting: int
    same_incident_seconds: float
    longest_retry_delay_seconds: float


class Outbox:
    """The outbox of one run, for the notifier; raises sqlite3.Error when the disk refuses."""

    def __init__(self, path: Path, channels: Sequence[str], limits: Limits) -> None:
        self._channels, self._limits = tuple(channels), limits
        self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        # A power cut may repeat the last message; waiting for the disk at every step would buy nothing else.
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)
        self.interrupted = self._db.execute(
            "UPDATE deliveries SET state = ?, due_ns = 0 WHERE state = ?", (State.WAITING, State.SENDING)
        ).rowcount
        """Deliveries an earlier notifier was at when it died: nobody knows whether they arrived."""
        self._db.execute(
            f"UPDATE deliveries SET state = ? WHERE state = ?"  # noqa: S608 - place holders only
            f" AND channel NOT IN ({','.join('?' * len(self._channels))})",
            (State.DROPPED, State.WAITING, *self._channels),
        )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        # The connection commits at the end of its block, or rolls back what an error left half done.
        with self._db:
            yield

    def close(self) -> None:
        """Close it."""
        self._db.close()

    # ---- in

    def cursor(self, source: str) -> int:
        """The last row of a source that was taken."""
        found = self._db.execute("SELECT seq FROM cursors WHERE source = ?", (source,)).fetchone()
        return int(found[0]) if found else 0

    def take(self, messages: Sequence[Message], source: str = "", seq: int = 0) -> int:
        """Write messages and move the cursor, together; returns how many waiting ones had to be dropped."""
        with self._transaction():
            for message in messages:
                if self._may_tell(message):
                    self._add(message)
            if source:
                self._db.execute(
                    "INSERT INTO cursors VALUES (?, ?) ON CONFLICT (source) DO UPDATE SET seq = excluded.seq",
                    (source, seq),
                )
            if not messages:
                return 0
            self._prune()
            return sum(self._bound(channel) for channel in self._channels)

    def _may_tell(self, message: Message) -> bool:
        if not message.group:
            return True
        window_ns = round(self._limits.same_incident_seconds * SECOND_NS)
        found = self._db.execute("SELECT told_ns FROM groups WHERE name = ?", (message.group,)).fetchone()
        if found is not None and message.ts_ns - found[0] < window_ns:
            self._db.execute("UPDATE groups SET held = held + 1 WHERE name = ?", (message.group,))
            return False
        return True

    def _add(self, message: Message) -> None:
        held = self._held(message)
        body = f"{message.body}\n(+{held})" if held else message.body
        done = self._db.execute(
            "INSERT INTO messages (key, kind, urgent, ts_ns, title, body) VALUES (?,?,?,?,?,?)"
            " ON CONFLICT (key) DO NOTHING",
            (message.key, message.kind, message.urgent, message.ts_ns, message.title, body),
        )
        if done.rowcount:
            self._db.executemany(
                "INSERT INTO deliveries VALUES (?,?,?,0,0,0,'')",
                [(done.lastrowid, channel, State.WAITING) for channel in self._channels],
            )

    def _held(self, message: Message) -> int:
        """How many equal ones were held back since the last; from now on they are counted anew."""
        if not message.group:
            return 0
        found = self._db.execute("SELECT held FROM groups WHERE name = ?", (message.group,)).fetchone()
        self._db.execute(
            "INSERT INTO groups VALUES (?, ?, 0)"
            " ON CONFLICT (name) DO UPDATE SET told_ns = excluded.told_ns, held = 0",
            (message.group, message.ts_ns),
        )
        return int(found[0]) if found else 0

    def _bound(self, channel: str) -> int:
        """Drop the oldest waiting messages beyond the limit, alarms and verdicts last."""
        (waiting,) = self._db.execute(
            "SELECT count(*) FROM deliveries WHERE channel = ? AND state = ?", (channel, State.WAITING)
        ).fetchone()
        over = waiting - self._limits.max_waiting
        if over <= 0:
            return 0
        return self._db.execute(
            "UPDATE deliveries SET state = ? WHERE channel = ? AND message IN ("
            " SELECT message FROM deliveries JOIN messages ON id = message"
            " WHERE channel = ? AND state = ? ORDER BY urgent, id LIMIT ?)",
            (State.DROPPED, channel, channel, State.WAITING, over),
        ).rowcount

    def _prune(self) -> None:
        settled = (
            "SELECT id FROM messages WHERE id <= (SELECT max(id) FROM messages) - ? AND NOT EXISTS ("
            " SELECT 1 FROM deliveries WHERE message = id AND state IN (?, ?))"
        )
        values = (KEPT_MESSAGES, State.WAITING, State.SENDING)
        self._db.execute(f"DELETE FROM deliveries WHERE message IN ({settled})", values)  # noqa: S608
        self._db.execute(f"DELETE FROM messages WHERE id IN ({settled})", values)  # noqa: S608

    # ---- out

    def due(self, channel: str, now_ns: int, *, urgent_only: bool = False) -> Due | None:
        """The next delivery of a channel, alarms and verdicts first, then in order; None when none is due."""
        # A clock that was set back must not hold a message longer than the longest delay.
        late_ns = now_ns + round(self._limits.longest_retry_delay_seconds * SECOND_NS)
        found = self._db.execute(
            "SELECT message, channel, attempts, urgent, title, body, attempts > 0 AND due_ns = 0"
            " FROM deliveries JOIN messages ON id = message"
            " WHERE channel = ? AND state = ? AND (due_ns <= ? OR due_ns > ?) AND urgent >= ?"
            " ORDER BY urgent DESC, id LIMIT 1",
            (channel, State.WAITING, now_ns, late_ns, urgent_only),
        ).fetchone()
        if found is None:
            return None
        message, name, attempts, urgent, title, body, repeated = found
        return Due(message, name, attempts, bool(urgent), title, body, bool(repeated))

    def sending(self, due: Due, now_ns: int) -> None:
        """It is about to be sent: if this process dies now, its successor knows that it may have arrived."""
        self._db.execute(
            "UPDATE deliveries SET state = ?, attempts = attempts + 1, tried_ns = ?"
            " WHERE message = ? AND channel = ?",
            (State.SENDING, now_ns, due.message, due.channel),
        )

    def settle(self, due: Due, state: State, *, due_ns: int = 0, why: str = "") -> None:
        """How the attempt ended."""
        self._db.execute(
            "UPDATE deliveries SET state = ?, due_ns = ?, why = ? WHERE message = ? AND channel = ?",
            (state, due_ns, why, due.message, due.channel),
        )

    def hasten(self) -> None:
        """The end is near: whatever waits for its next attempt is due now."""
        self._db.execute("UPDATE deliveries SET due_ns = 1 WHERE state = ? AND due_ns > 1", (State.WAITING,))

    def tried_since(self, channel: str, since_ns: int) -> int:
        """How many messages a channel was given since then, also by an earlier notifier."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM deliveries WHERE channel = ? AND tried_ns > ?", (channel, since_ns)
        ).fetchone()
        return int(count)

    def waiting(self) -> int:
        """Deliveries that are not settled."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM deliveries WHERE state IN (?, ?)", (State.WAITING, State.SENDING)
        ).fetchone()
        return int(count)


class ChannelCount(msgspec.Struct, frozen=True):
    """What became of the messages of one channel; `why` is the last trouble, "" when there was none."""

    channel: str
    sent: int
    waiting: int
    failed: int
    dropped: int
    why: str


def counts(path: Path) -> list[ChannelCount]:
    """The deliveries of an outbox by channel, read by whoever wants to know; none before there is one."""
    if not path.is_file():
        return []
    with closing(sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)) as db:
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'deliveries'").fetchone() is None:
            return []
        found = db.execute(
            "SELECT channel, sum(state = ?), sum(state IN (?, ?)), sum(state = ?), sum(state = ?),"
            " coalesce((SELECT why FROM deliveries AS last WHERE last.channel = deliveries.channel"
            "  AND why <> '' ORDER BY tried_ns DESC LIMIT 1), '')"
            " FROM deliveries GROUP BY channel ORDER BY channel",
            (State.SENT, State.WAITING, State.SENDING, State.FAILED, State.DROPPED),
        ).fetchall()
    return [ChannelCount(*row) for row in found]
