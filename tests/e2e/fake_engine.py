"""A stand-in for the engine child: speaks the supervisor's protocol and misbehaves as `scenario.json` says.

Rule: it trades nothing; each life takes the next entry of the scenario, the last entry again and again.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

from flowguardian.execution.events import Command
from flowguardian.ops.commands import CommandInbox
from flowguardian.ops.log import configure_logging
from flowguardian.ops.platform_files import atomic_write
from flowguardian.ops.platform_process import die_with_parent

SECOND_NS = 1_000_000_000
START_NS = 1_747_835_400 * SECOND_NS
BEAT_SECONDS = 0.01
CRASH_CODE = 9


def say(event: str, **fields: object) -> None:
    """One line of the protocol."""
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


class FakeEngine:
    """One life."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        with (run_dir / "lives").open("ab") as file:
            file.write(b".")
            number = file.tell()
        lives = json.loads((run_dir / "scenario.json").read_text(encoding="utf-8"))
        self.life = lives[min(number, len(lives)) - 1]
        self.market_file = run_dir / "market"
        self.market_ns = int(self.market_file.read_bytes()) if self.market_file.exists() else START_NS
        self.inbox = CommandInbox(run_dir)
        self.stopped = False

    def beat(self) -> None:
        """One turn of the loop."""
        if not self.life.get("stuck"):
            self.market_ns += SECOND_NS
            # In one step: a kill in the middle of a plain write would leave an empty file.
            atomic_write(self.market_file, str(self.market_ns).encode())
        say(
            "heartbeat", market_ns=self.market_ns, run_ns=self.market_ns - START_NS, equity=50_000 * 10**8,
            budget_used=5_000 * 10**8, budget_allocated=12_500 * 10**8, entries=3, budget_caps=2,
            budget_blocks=1, open_positions=1, next_checkpoint="M5", why="", lag_p50_ms=0.1, lag_p99_ms=0.9,
        )  # fmt: skip
        for asked in self.inbox.pending():
            if asked.command is Command.STOP and not self.life.get("ignore_stop"):
                self.inbox.acknowledge(asked.id, self.market_ns)
                self.stopped = True
        threading.Event().wait(BEAT_SECONDS)

    def do(self, action: str) -> None:
        """One misdeed."""
        if action == "error record":
            logging.getLogger("fake").error("order lost")
        elif action == "library record":
            logging.getLogger("some.library").critical("socket gone")
        elif action == "dead thread":
            thread = threading.Thread(target=lambda: 1 // 0)
            thread.start()
            thread.join()
        elif action == "traceback":
            sys.stderr.write('Traceback (most recent call last):\n  File "x.py", line 7, in f\n')
            sys.stderr.write("ValueError: price 17 is odd\n")
            sys.stderr.flush()
        elif action == "chatter":
            sys.stderr.write("a harmless line, 비트코인 ₿\n")
            sys.stderr.flush()
        elif action == "garbage":
            sys.stdout.write("this is no event\n")
            sys.stdout.flush()
        elif action == "flood":
            sys.stderr.write(("y" * 79 + "\n") * 50_000)
            sys.stderr.flush()
        elif action == "checkpoint":
            say("checkpoint", name="M5", market_ns=self.market_ns, line="normal")
        elif action == "grandchild":
            import subprocess

            argv = [sys.executable, "-c", "import time; time.sleep(600)"]
            child = subprocess.Popen(argv)
            (self.run_dir / "grandchild").write_text(str(child.pid), encoding="utf-8")
        else:
            raise ValueError(f"unknown action {action}")

    def live(self) -> int:
        """Play the life; returns the exit code."""
        end = self.life.get("end", "complete")
        if end == "config":
            sys.stderr.write("risk.max_positions: expected a number\n")
            return 2
        if end == "not ready":
            hang()
        say("ready", market_ns=self.market_ns)
        for action in self.life.get("do", ()):
            self.do(action)
        turns = self.life.get("beats", 3)
        while not self.stopped and (turns > 0 or end == "run"):
            self.beat()
            turns -= 1
        if self.stopped:
            say("finished", reason="stopped")
            return 0
        return self.finish(end)

    def finish(self, end: str) -> int:
        """The last thing it does."""
        if end == "hang":
            hang()
        elif end == "crash":
            os._exit(CRASH_CODE)
        elif end == "fault":
            say("fault", reason="the journal could not be appended")
            return 5
        elif end == "silent":
            return 0
        elif end == "linger":
            say("finished", reason="completed")
            hang()
        say("finished", reason="completed")
        return CRASH_CODE if end == "finish then crash" else 0


def hang() -> None:
    """Say nothing any more."""
    while True:
        time.sleep(60)


def main() -> int:
    """Entry."""
    die_with_parent()
    run_dir = Path(sys.argv[1])
    configure_logging("engine", run_dir / "logs", run_id=run_dir.name, console_level="CRITICAL")
    return FakeEngine(run_dir).live()


if __name__ == "__main__":
    sys.exit(main())
