"""`data describe` and `data import`: what a file of market data holds, and a clean Parquet copy of it.

Rule: nothing is guessed or repaired unasked; a copy holds exactly the rows that were understood.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowguardian.cli import output
from flowguardian.cli.locate import JsonOption

if TYPE_CHECKING:
    from flowguardian.market.datasets import DatasetReport

data = typer.Typer(rich_markup_mode=None)

FileArgument = Annotated[
    Path, typer.Argument(help="A .parquet, .csv or .csv.gz file of bars, trades or funding.")
]
SymbolOption = Annotated[
    list[str] | None,
    typer.Option(
        "--symbol", help="Only these symbols, or the names of a numbered symbol column.", show_default=False
    ),
]


@data.callback()
def _data() -> None:
    """Market data."""


@data.command("describe")
def describe(file: FileArgument, symbol: SymbolOption = None, as_json: JsonOption = False) -> int:
    """What a file holds: rows, times, holes, duplicates and disorder per symbol."""
    from flowguardian.market.datasets import describe as answer_of

    _show(answer_of(file, symbol), as_json)
    return output.EXIT_OK


@data.command("import")
def import_(
    file: FileArgument,
    target: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    symbol: SymbolOption = None,
    sort: Annotated[bool, typer.Option("--sort", help="Put rows that are out of order into order.")] = False,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Keep the first of rows that came twice.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the target if there is one.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Check every row of a file of bars or trades and write it as Parquet in the standard columns."""
    from flowguardian.market.datasets import kind_of, load_bars, load_trades

    if target.suffix != ".parquet":
        raise output.CliError(
            f"{target} is no .parquet file", where="target", fix="give it the suffix .parquet"
        )
    if target.exists() and not force:
        raise output.CliError(
            "the target exists", where=str(target), fix="choose another name, or add --force"
        )
    kind = kind_of(file)
    readers: dict[str, Any] = {"bars": load_bars, "trades": load_trades}
    if kind not in readers:
        raise output.CliError(
            f"{kind} are not imported", where=str(file), fix="pass a file of bars or trades"
        )
    on_duplicate = "drop" if drop_duplicates else "error"
    found, report = readers[kind](file, symbol, on_duplicate=on_duplicate, sort=sort)
    output.progress(f"{file} → {target}: {report.rows} {kind}")
    _write(kind, found, target)
    _show(report, as_json, written=target)
    return output.EXIT_OK


def _write(kind: str, found: dict[str, Any], target: Path) -> None:
    """Columns as the readers know them, prices and quantities as the floats they were."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    from flowguardian.market.records import UNITS, Flag

    parts = []
    for symbol, rows in found.items():
        if kind == "bars":
            columns = {"ts_ns": rows["open_ns"]}
            columns |= {name: rows[name] / UNITS for name in ("open", "high", "low", "close")}
            columns |= {"volume": rows["volume"], "trades": rows["trades"]}
        else:
            columns = {"ts_ns": rows["venue_ns"], "price": rows["a"] / UNITS, "qty": rows["b"] / UNITS}
            columns |= {
                "is_buyer_maker": (rows["flags"] & int(Flag.SELLER_TAKER)) != 0,
                "trade_id": rows["id"],
            }
        arrays = {name: np.ascontiguousarray(column) for name, column in columns.items()}
        names = pa.array(np.full(len(rows), symbol)).dictionary_encode()
        parts.append(pa.table({"symbol": names, **arrays}))
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.concat_tables(parts).unify_dictionaries(), target, compression="zstd")


def _show(report: DatasetReport, as_json: bool, written: Path | None = None) -> None:
    from flowguardian.cli.answers import both, moment

    if as_json:
        import msgspec

        answer = msgspec.to_builtins(report)
        output.print_json({**answer, "written": str(written)} if written else answer)
        return
    interval = f", every {report.interval_ns / 1e9:g} s" if report.interval_ns else ""
    print(f"{report.path}: {report.rows} {report.kind}{interval}")
    rows = [["symbol", "rows", "from", "to", "gaps", "missing", "duplicates", "out of order", "dropped"]]
    rows += [
        [
            line.symbol, str(line.rows), both(moment(line.first_ns)), both(moment(line.last_ns)),
            _count(line.gaps), _count(line.missing), str(line.duplicates), str(line.out_of_order),
            str(line.dropped),
        ]
        for line in report.symbols
    ]  # fmt: skip
    print(output.table(rows, right=(1, 4, 5, 6, 7, 8)))
    if written:
        print(f"written: {written}")


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)
