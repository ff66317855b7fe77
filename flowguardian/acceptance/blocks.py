"""What a page of a report is made of, in both languages at once; templates turn it into Markdown or HTML.

Rule: no arithmetic and no file here; a cell is words that stay the same in every language, or a Text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flowguardian.acceptance.catalog import text
from flowguardian.acceptance.judgement import Text

Cell = str | Text


class Table(NamedTuple):
    """Rows under a head; `numbers` are the columns aligned to the right, `bad` the rows that stand out."""

    head: tuple[Cell, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: frozenset[int] = frozenset()
    bad: frozenset[int] = frozenset()
    kind: str = "table"


class Paragraph(NamedTuple):
    """A sentence or more; `tone` is "", "strong" or "note"."""

    words: Text
    tone: str = ""
    kind: str = "paragraph"


class Items(NamedTuple):
    """A list."""

    lines: tuple[Text, ...]
    kind: str = "items"


class Plot(NamedTuple):
    """A picture, by its name in plots.py."""

    name: str
    kind: str = "plot"


Block = Table | Paragraph | Items | Plot


class Section(NamedTuple):
    """A page of the report."""

    id: str
    title: Text
    blocks: tuple[Block, ...]


def table(names: str, rows: Sequence[Sequence[Cell]], numbers: str = "", bad: Sequence[int] = ()) -> Table:
    """A table whose head is looked up by space separated names; `numbers` names the right-aligned ones."""
    columns = names.split()
    right = frozenset(i for i, name in enumerate(columns) if name in numbers.split())
    head = tuple(text(f"head.{name}") for name in columns)
    return Table(head, tuple(tuple(row) for row in rows), right, frozenset(bad))


def facts(rows: Sequence[tuple[Cell, Cell]]) -> Table:
    """A table of names and values."""
    return table("item value", rows)


def section(name: str, *blocks: Block) -> Section:
    """A page by its name."""
    return Section(name, text(f"section.{name}"), blocks)


def limited(
    lines: Sequence[tuple[Cell, ...]], most: int
) -> tuple[Sequence[tuple[Cell, ...]], tuple[Block, ...]]:
    """The first rows, and a line that says how many more there are."""
    if len(lines) <= most:
        return lines, ()
    return lines[:most], (Paragraph(text("text.more", count=len(lines) - most), "note"),)
