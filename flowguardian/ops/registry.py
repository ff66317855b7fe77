"""Which processes of this project run for this user: one small record per process in a state directory.

Rule: only a process that registered itself here, with PID and start time, may ever be stopped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from flowguardian.ops.platform_files import atomic_write
from flowguardian.ops.platform_process import is_alive, kill_tree, request_stop, start_time_of, wait_gone

STATE_DIRECTORY = "FLOWGUARDIAN_STATE_DIR"
"""Environment variable that moves the state directory (tests, several installations side by side)."""
GRACE_SECONDS = 10.0


class Registered(msgspec.Struct, frozen=True):
    """A process of this project. `account` is what two processes may not share; the parent may be 0."""

    pid: int
    start_time: float
    role: str
    run_id: str
    account: str = ""
    parent_pid: int = 0
    parent_start_time: float = 0.0

    @property
    def alive(self) -> bool:
        """Whether exactly this process still runs."""
        return is_alive(self.pid, self.start_time)

    @property
    def orphan(self) -> bool:
        """Alive although the process that was to look after it is gone."""
        return self.parent_pid != 0 and not is_alive(self.parent_pid, self.parent_start_time)

    def text(self) -> str:
        """The process for people."""
        return f"{self.role} of run {self.run_id} (PID {self.pid})"


def state_directory() -> Path:
    """Where per-user state lies on this system."""
    told = os.environ.get(STATE_DIRECTORY)
    if told:
        return Path(told)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "flowguardian"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "flowguardian"
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "flowguardian"


class Registry:
    """The records of the processes of one user."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = (directory or state_directory()) / "processes"
        self.directory.mkdir(parents=True, exist_ok=True)

    def register(
        self, role: str, run_id: str, *, account: str = "", pid: int | None = None, parent_pid: int = 0
    ) -> Registered:
        """Write the record of a process (default: this one); raises ProcessLookupError when it is gone."""
        pid = os.getpid() if pid is None else pid
        start = start_time_of(pid)
        if start is None:
            raise ProcessLookupError(f"PID {pid} ({role} of run {run_id}) ended before it was registered")
        parent_start = (start_time_of(parent_pid) or 0.0) if parent_pid else 0.0
        entry = Registered(pid, start, role, run_id, account, parent_pid, parent_start)
        atomic_write(self._path(entry), msgspec.json.encode(entry))
        return entry

    def unregister(self, entry: Registered) -> None:
        """Remove the record of a process that ended."""
        self._path(entry).unlink(missing_ok=True)

    def entries(self) -> list[Registered]:
        """All records, oldest first, alive or not; a record nobody can read is removed."""
        found = []
        for path in sorted(self.directory.glob("*.json")):
            try:
                found.append(msgspec.json.decode(path.read_bytes(), type=Registered))
            except FileNotFoundError:
                continue
            except msgspec.DecodeError:
                path.unlink(missing_ok=True)
        return sorted(found, key=lambda entry: entry.start_time)

    def living(self) -> list[Registered]:
        """The processes that run now."""
        return [entry for entry in self.entries() if entry.alive]

    def clean_stale(self) -> list[Registered]:
        """Remove and return the records of processes that ended or whose PID now belongs to another."""
        stale = [entry for entry in self.entries() if not entry.alive]
        for entry in stale:
            self.unregister(entry)
        return stale

    def earlier(self, account: str = "", *, everything: bool = False) -> list[Registered]:
        """Living processes a start of `account` has to stop: of the same account, orphans, or everything.

        This process and its ancestors are never among them.
        """
        mine = _own_line()
        others = [entry for entry in self.living() if entry.pid not in mine]
        if everything:
            return others
        return [entry for entry in others if entry.orphan or (account and entry.account == account)]

    def stop(self, entry: Registered, *, grace_seconds: float = GRACE_SECONDS) -> str:
        """End a registered process: ask, wait, then kill its tree. Returns how it ended, "" if it did not."""
        asked = request_stop(entry.pid, entry.start_time)
        if not asked or wait_gone(entry.pid, entry.start_time, grace_seconds):
            how = "stopped" if asked else "already gone"
        elif kill_tree(entry.pid, entry.start_time):
            how = "killed"
        else:
            return ""
        self.unregister(entry)
        return how

    def stop_earlier(
        self,
        account: str = "",
        *,
        everything: bool = False,
        grace_seconds: float = GRACE_SECONDS,
        on_stopped: Callable[[Registered, str], None] | None = None,
    ) -> list[tuple[Registered, str]]:
        """Stop all of `earlier`, supervisors first so that nothing is restarted meanwhile."""
        order = sorted(self.earlier(account, everything=everything), key=lambda entry: entry.parent_pid != 0)
        results = []
        for entry in order:
            how = self.stop(entry, grace_seconds=grace_seconds)
            results.append((entry, how))
            if on_stopped is not None:
                on_stopped(entry, how)
        return results

    def _path(self, entry: Registered) -> Path:
        return self.directory / f"{entry.pid}-{round(entry.start_time * 1000)}.json"


def _own_line() -> set[int]:
    import psutil

    me = psutil.Process()
    return {me.pid, *(parent.pid for parent in me.parents())}
