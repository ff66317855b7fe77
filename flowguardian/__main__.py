"""`python -m flowguardian`: the command line.

Rule: nothing happens here; `cli/app.py` is the command line.
"""

from __future__ import annotations

import sys

from flowguardian.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
