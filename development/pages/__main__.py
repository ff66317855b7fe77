"""Writes all generated pages and quoted outputs: python -m development.pages."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from development.pages import events_page, metrics_page, mutants_page, outputs, reasons_page, tape_page


def main() -> int:
    """Write what has changed and say which files those are."""
    texts = {
        page.PAGE: page.page_text()
        for page in (events_page, metrics_page, mutants_page, reasons_page, tape_page)
    }
    with tempfile.TemporaryDirectory() as folder:
        rehearsals = outputs.Rehearsals(Path(folder))
        for page in outputs.PAGES:
            texts[page] = outputs.refreshed((outputs.ROOT / page).read_text(encoding="utf-8"), rehearsals)
    for page, text in texts.items():
        path = outputs.ROOT / page
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")
            sys.stdout.write(f"written: {page.as_posix()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
