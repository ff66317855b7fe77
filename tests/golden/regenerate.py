"""Writes golden.json anew: python -m tests.golden.regenerate; then CHANGELOG.md says what changed."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import msgspec

from tests.golden.market_run import make_run, measured

GOLDEN = Path(__file__).with_name("golden.json")


def main() -> int:
    """Make the golden run and keep its figures."""
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder) / "run"
        make_run(run_dir)
        golden = measured(run_dir)
    GOLDEN.write_bytes(msgspec.json.format(msgspec.json.encode(golden)) + b"\n")
    sys.stdout.write(f"deciding code `{golden.code_hash[:12]}`: name it in CHANGELOG.md with what changed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
