"""The notifier of a run: python -m flowguardian.notify RUN_DIR [--once]."""

from __future__ import annotations

import sys

from flowguardian.notify.program import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
