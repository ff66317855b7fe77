"""`docs/reference/tape.md`: the bytes of a tape, from the layouts that read and write them.

Rule: fields, sizes and their comments come from the source; a layout without comments is shown without.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from enum import IntEnum, IntFlag
from pathlib import Path

import numpy as np

from flowguardian.market import records, tape

PAGE = Path("docs/reference/tape.md")

HEAD = """# The tape

Generated from `flowguardian/market/records.py` and `tape.py` by `python -m development.pages`; do not edit.

The tape is the recorded market of a run: `tape/tape-00001.fgt`, `tape-00002.fgt`, … in the run directory,
format {format}. File order is the total order of the run: `ts_ns` of the records is unique and strictly
increasing over all segments, clock records included.

A segment is a sequence of blocks and nothing else. A block is what one turn of the loop released: a header
of {header} bytes and `count` records of {record} bytes. A segment that has reached {segment} MB is closed
at the next block. A torn last block is cut when the tape is opened for writing; a damaged block with a
whole one behind it is an error and never skipped. All numbers are little-endian, prices and quantities in
units of 1e-8.

To read one from Python:

```python
from pathlib import Path

from flowguardian.market.tape import read_tape

for rows in read_tape(Path("RUN/tape")):  # a numpy array of records per block
    print(rows["kind"][0], rows["ts_ns"][0], len(rows))
    break
```
"""


HEADER_FIELDS: dict[str, str] = {
    "magic": "marks the beginning of a block",
    "format": "version of the layout; another one is not read",
    "count": "records that follow",
    "crc": "CRC-32 of those records",
    "first_ts_ns": "stamp of the first record",
    "last_ts_ns": "stamp of the last record",
}


def page_text() -> str:
    """The whole page."""
    source = inspect.getsource(records)
    head = HEAD.format(
        format=records.FORMAT,
        header=tape.HEADER.itemsize,
        record=records.ROW.itemsize,
        segment=tape.SEGMENT_BYTES // 1024**2,
    )
    return "\n".join(
        [
            head,
            _layout("Block header", f"Magic `{tape.MAGIC.decode()}`.", tape.HEADER, HEADER_FIELDS),
            _layout(
                "Record", "What `a b c d id` hold depends on the kind.", records.ROW, _comments(source, "ROW")
            ),
            _kinds("Kinds", "Meaning of `a b c d id`, in this order.", records.Kind, source),
            _kinds("Flags", "Bits of `flags`.", records.Flag, source),
            _layout(
                "Closed bar",
                "In memory only: what a strategy's `step` is given.",
                records.BAR,
                _comments(source, "BAR"),
            ),
            _layout(
                "Signal",
                "In memory only: what a step may fill in.",
                records.SIGNAL,
                _comments(source, "SIGNAL"),
            ),
        ]
    )


def _layout(title: str, about: str, dtype: np.dtype[np.void], comments: Mapping[str, str]) -> str:
    rows = [
        f"## {title}",
        "",
        f"{about} {dtype.itemsize} bytes.",
        "",
        "| byte | field | type | what |",
        "|---:|---|---|---|",
    ]
    for field in dtype.names or ():
        if field != "_pad":
            kind, offset = dtype.fields[field][:2]  # type: ignore[index]
            rows.append(f"| {offset} | `{field}` | `{kind.str.lstrip('<|')}` | {comments.get(field, '')} |")
    return "\n".join([*rows, ""])


def _comments(source: str, name: str) -> dict[str, str]:
    """Field → comment behind it, in the layout called `name`."""
    found = re.search(rf"^{name} = np\.dtype\(\n(.*?)^\)", source, re.MULTILINE | re.DOTALL)
    if found is None:
        raise ValueError(f"{name} is no layout of that module any more: say its new name in tape_page.py")
    return dict(re.findall(r'\("(\w+)", [^)]*\)?\),  # (.+)$', found[1], re.MULTILINE))


def _kinds(title: str, about: str, members: type[IntEnum | IntFlag], source: str) -> str:
    rows = [f"## {title}", "", about, "", "| value | name | what |", "|---:|---|---|"]
    for member in members:
        comment = re.search(rf"^    {member.name} = {member.value}  # (.+)$", source, re.MULTILINE)
        rows.append(f"| {member.value} | `{member.name}` | {comment[1] if comment else ''} |")
    return "\n".join([*rows, ""])
