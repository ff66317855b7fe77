"""Sets FlowGuardian up on a bare Python and runs it: python dev.py setup|accept|test|bench [arguments].

Rule: any Python, back to 2.7, must be able to parse this file, so that one that is too old says which one is
needed instead of showing a SyntaxError. What it does stands in development/, standard library only.
"""

import os
import sys

NEEDED = (3, 11)

if sys.version_info < NEEDED:
    sys.stderr.write(
        "FlowGuardian needs Python %d.%d or newer; this is Python %d.%d (%s).\n"
        "Install a newer one and start again with it, as in: python3.13 dev.py (Windows: py -3.13 dev.py)\n"
        % (NEEDED + sys.version_info[:2] + (sys.executable,))
    )
    sys.exit(3)

if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    from development.commands import main

    sys.exit(main(sys.argv[1:]))
