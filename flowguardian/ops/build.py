"""What program this is: version, commit, interpreter and system, as a run records them at each start.

Rule: a question to git that is not answered at once is answered with nothing; a run never waits for it.
"""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from flowguardian import __version__
from flowguardian.journal.ops_events import BuildIdentified

_SECONDS = 5.0


def build(ts_ns: int) -> BuildIdentified:
    """This program at a host time."""
    return BuildIdentified(
        ts_ns, __version__, commit(), platform.python_version(), platform.platform(terse=True)
    )


def commit() -> str:
    """Hash and description (nearest tag, "-dirty") of the repository around this package, or ""."""
    top = Path(__file__).resolve().parents[2]
    if not (top / ".git").exists():
        return ""
    found = _git(top, "rev-parse", "HEAD")
    return f"{found} ({_git(top, 'describe', '--tags', '--always', '--dirty')})" if found else ""


def _git(top: Path, *question: str) -> str:
    try:
        answer = subprocess.run(
            ["git", "-C", str(top), *question],  # noqa: S607  (whichever git the user has)
            capture_output=True, encoding="utf-8", errors="replace", timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip() if answer.returncode == 0 else ""
